"""The questions of the comparison, one file each, in the order in which the page answers them."""

from ..contest import Group
from . import arrays, burst, call, cold, compiled, gil_free, long, mixed, scaling, short, submit, tiny, uneven, waiting

__all__ = ["GROUPS"]

GROUPS: list[Group] = [
    group
    for module in (
        call,
        submit,
        burst,
        tiny,
        short,
        long,
        uneven,
        waiting,
        gil_free,
        mixed,
        arrays,
        cold,
        compiled,
        scaling,
    )
    for group in module.GROUPS
]

"""How long do 16 items of 50 ms take, in Python?"""

from ..contest import Group, Tuning, maps, shared_by_cpus
from ..work import spin, steps

__all__ = ["GROUPS"]

ITEMS, SECONDS = 16, 50e-3

GROUPS = [
    Group(
        "long",
        "How long do 16 items of 50 ms take, in Python?",
        maps(spin, lambda: [steps(SECONDS)] * ITEMS, Tuning(chunksize=1)),
        limit=shared_by_cpus(),
    )
]

"""How long do 100 items of 1 to 100 ms take, the longest last?"""

from ..contest import Group, Tuning, maps, shared_by_cpus
from ..work import spin, uneven_steps

__all__ = ["GROUPS"]

ITEMS, LEAST, MOST = 100, 1e-3, 100e-3

GROUPS = [
    Group(
        "uneven",
        "How long do 100 items of 1 to 100 ms take, the longest last?",
        maps(spin, lambda: uneven_steps(ITEMS, LEAST, MOST), Tuning(chunksize=4)),
        limit=shared_by_cpus(longest=MOST),
    )
]

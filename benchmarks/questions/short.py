"""How long do 400 items of 1 ms take, in Python?"""

from ..contest import Group, Tuning, maps, shared_by_cpus
from ..work import spin, steps

__all__ = ["GROUPS"]

ITEMS, SECONDS = 400, 1e-3

GROUPS = [
    Group(
        "short",
        "How long do 400 items of 1 ms take, in Python?",
        maps(spin, lambda: [steps(SECONDS)] * ITEMS, Tuning(chunksize=ITEMS // 8)),
        limit=shared_by_cpus(),
    )
]

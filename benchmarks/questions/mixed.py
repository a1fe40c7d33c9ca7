"""How long do 60 items of about 8 ms take that hold the GIL for half of the time?"""

from parallel_deco._cpus import available_cpus

from ..contest import Group, Tuning, maps, shared_by_cpus
from ..work import half_and_half

__all__ = ["GROUPS"]

ITEMS = 60

GROUPS = [
    Group(
        "mixed",
        "How long do 60 items of about 8 ms take that hold the GIL for half of the time?",
        maps(
            half_and_half,
            lambda: [10**7 * number for number in range(ITEMS)],
            Tuning(threads=available_cpus(), chunksize=8),
        ),
        limit=shared_by_cpus(),
        notes="A piece of `count_primes` without the GIL, then a loop in Python.",
    )
]

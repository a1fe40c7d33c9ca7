"""How long do 40 items of about 8 ms take that compute without the GIL?"""

from parallel_deco._cpus import available_cpus

from ..contest import Group, Tuning, maps, shared_by_cpus
from ..work import primes

__all__ = ["GROUPS"]

ITEMS = 40

GROUPS = [
    Group(
        "gil_free",
        "How long do 40 items of about 8 ms take that compute without the GIL?",
        maps(
            primes, lambda: [10**7 * number for number in range(ITEMS)], Tuning(threads=available_cpus(), chunksize=5)
        ),
        limit=shared_by_cpus(),
        notes="A compiled kernel: pieces of `count_primes`.",
    )
]

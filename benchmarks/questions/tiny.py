"""What does an item cost when there is next to nothing to do?"""

from ..contest import Group, Tuning, maps, shared_by_cpus
from ..work import square

__all__ = ["GROUPS"]

ITEMS = 10_000

GROUPS = [
    Group(
        "tiny",
        "What does an item cost when there is next to nothing to do?",
        maps(square, lambda: list(range(ITEMS)), Tuning(chunksize=ITEMS // 8)),
        unit=("µs", 1e6),
        per=ITEMS,
        limit=shared_by_cpus(),
        notes=f"`x * x + 1` over {ITEMS:,} numbers.",
    )
]

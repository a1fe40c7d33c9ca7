"""How long do 100 items take that wait for 20 ms each?"""

from ..contest import Group, Limit, Tuning, maps
from ..work import nap

__all__ = ["GROUPS"]

ITEMS, SECONDS = 100, 20e-3

GROUPS = [
    Group(
        "waiting",
        "How long do 100 items take that wait for 20 ms each?",
        maps(nap, lambda: [SECONDS] * ITEMS, Tuning(threads=ITEMS, processes=32)),
        limit=Limit("the longest item", lambda _: SECONDS),
    )
]

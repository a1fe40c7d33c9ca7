"""What does each of 1,000 submits in a row cost, until all results are there?"""

from ..contest import Group, submits
from ..work import nothing

__all__ = ["GROUPS"]

CALLS = 1000


def burst(pool):
    """Submit many calls, then wait for all."""

    def run():
        for wait in [pool.submit(nothing, number) for number in range(CALLS)]:
            wait()

    return run


GROUPS = [
    Group(
        "burst",
        f"What does each of {CALLS:,} submits in a row cost, until all results are there?",
        submits(burst),
        unit=("µs", 1e6),
        per=CALLS,
    )
]

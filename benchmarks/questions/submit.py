"""How long is it from a submit to its result, with warm workers?"""

from ..contest import Entry, Group, Limit, submits
from ..limits import pipe
from ..work import nothing

__all__ = ["GROUPS"]


def round_trip(pool):
    """Submit one call and wait for its result."""
    return lambda: pool.submit(nothing, 1)()


GROUPS = [
    Group(
        "submit",
        "How long is it from one submit to its result, with warm workers?",
        submits(round_trip),
        unit=("µs", 1e6),
        limit=Limit("a byte to a process and back, over a socket", lambda medians: medians.get("pipe")),
        measured=[Entry("pipe", pipe)],
        notes="`parallel_deco` sends a function that does nothing to a thread, because it knows that it does nothing.",
    )
]

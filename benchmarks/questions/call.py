"""What does a plain call of the decorated function cost?"""

from contextlib import contextmanager

from parallel_deco import parallel

from ..contest import Entry, Group, Limit
from ..work import nothing

__all__ = ["GROUPS"]

CALLS = 1000


def called(function):
    """Return an entry's context: many calls in a row."""

    @contextmanager
    def opened():
        def run():
            for _ in range(CALLS):
                function(1)

        yield run

    return opened


def wrapper(*args, **kwargs):
    """Pass everything on: the least that a decorator in Python adds."""
    return nothing(*args, **kwargs)


GROUPS = [
    Group(
        "call",
        "What does a plain call of the decorated function cost?",
        [
            Entry("the function itself", called(nothing)),
            Entry("a wrapper that passes *args, **kwargs on", called(wrapper)),
            Entry("parallel_deco", called(parallel(nothing))),
        ],
        unit=("ns", 1e9),
        per=CALLS,
        limit=Limit("the function itself", lambda medians: medians.get("the function itself")),
        notes="A call stays a call: it runs here and now. The peers have no decorated function to call.",
    )
]

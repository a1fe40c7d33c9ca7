"""What the user could do to make a function faster on the route that it takes, or to open a better one."""

from collections.abc import Iterator

from parallel_deco._texts import bytes_text, seconds_text
from parallel_deco._traits import PROCESSES, SERIAL, THREADS
from parallel_deco.routing.evidence import INNER
from parallel_deco.routing.router import Decision

__all__ = ["advice"]

#: Shares of an item's time from which something is worth saying.
MUCH = 0.3
HELD, ALL = 0.1, 0.9


def advice(decision: Decision) -> Iterator[str]:
    """Yield what could be done, most useful first.

    Parameters
    ----------
    decision : Decision
        The last one, with the facts that it was made from.
    """
    facts = decision.facts
    if decision.route == THREADS and decision.here.timeout is not None:
        yield (
            f"a thread cannot be ended: an item that takes longer than {seconds_text(decision.here.timeout)} fails, "
            "and its thread runs on; where processes are open, backend='processes' ends it"
        )
    if not facts.items:
        return
    moving = facts.moved or 0.0
    if decision.route == PROCESSES and moving > MUCH * facts.wall:
        yield (
            f"moving {bytes_text(facts.sent + facts.received)} takes {seconds_text(moving)} for each item: give less, "
            "return less (a sum, a file name), or make the function release the GIL and it goes to threads"
        )
    held = facts.held / facts.cpu if facts.computes and facts.gil is not None else 0.0
    if decision.route == THREADS and held > ALL:
        yield "it holds the GIL nearly all of its time, so that threads take turns; worker processes have one each"
    elif decision.route == THREADS and held > HELD:
        yield (
            f"the GIL is held {100 * held:.0f} % of the time, which bounds threads to {1 / held:.1f} times one: less "
            "Python between the calls that release it helps"
        )
    most = decision.here.most
    bounded = most is not None and most <= decision.width
    if decision.route == THREADS and facts.waits and bounded and decision.width < _could_wait(decision):
        yield "more threads than max_workers allows could wait at the same time"
    if decision.route == SERIAL and facts.inner > INNER:
        yield "its own threads (BLAS, OpenMP) are at work; limit them with threadpoolctl if you want ours instead"


def _could_wait(decision: Decision) -> int:
    """Return how many threads would wait if only the number of items and the GIL were in the way."""
    facts = decision.facts
    return min(decision.here.items, int(facts.wall / max(facts.held, facts.wall / 64, 1e-9)))

"""The route for work of which nothing was measured: only what its code looks like."""

from parallel_deco._traits import PROCESSES, SERIAL, THREADS
from parallel_deco.routing.cost import waiting_width
from parallel_deco.routing.evidence import Facts
from parallel_deco.routing.prior import Nature, Prior
from parallel_deco.routing.router import Decision, Situation

__all__ = ["guess"]


def guess(prior: Prior, here: Situation) -> Decision:
    """Choose a route for work of which nothing was measured, from what its code looks like.

    Only for those who ask before anything has run; the first measurement takes its place.
    """
    if prior.nature is Nature.TINY and SERIAL in here.open:
        return Decision(SERIAL, 1, {}, Facts(), here, ("the code", _by_code(prior)))
    leaves = prior.nature is Nature.GIL_HELD and prior.confidence >= 0.6 and here.cpus > 1
    route = PROCESSES if leaves and PROCESSES in here.open else THREADS
    if route not in here.open:
        route = next(iter(here.open))
    waits = prior.nature is Nature.WAITS and route == THREADS
    width = waiting_width(Facts(wall=1.0), here.cpus, here.most) if waits else min(here.most or here.cpus, here.cpus)
    return Decision(route, width, {}, Facts(), here, ("the code", _by_code(prior)))


def _by_code(prior: Prior) -> str:
    return f"nothing was measured yet; from its code, it {_NATURES[prior.nature]} ({prior.because})"


_NATURES = {
    Nature.WAITS: "waits",
    Nature.GIL_FREE: "computes with the GIL released",
    Nature.GIL_HELD: "computes and holds the GIL",
    Nature.TINY: "is tiny",
    Nature.UNKNOWN: "cannot be told",
}

"""``parallel-deco doctor``: the machine as the library sees it, measured now, and what is not as it should be."""

import os
import platform
import sys
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from parallel_deco import _machine, _sampler
from parallel_deco._cpus import MOVES, available_cpus, cpu_quota, gil_enabled
from parallel_deco._errors import ParallelError
from parallel_deco._measure import measure
from parallel_deco._options import ENVIRONMENT, environment
from parallel_deco._texts import bytes_text, seconds_text
from parallel_deco.backends import pools

__all__ = ["Finding", "examine"]

#: How far the sampler may be from the truth, as a share of the call.
TOLERANCE = 0.1
#: Seconds that each of its two calls takes.
CALL = 30e-3
PACKAGES = ("parallel-deco", "numpy", "cloudpickle", "threadpoolctl", "tqdm")


@dataclass(frozen=True, slots=True)
class Finding:
    """A line of the report.

    Parameters
    ----------
    topic, text : str
    wrong : bool
        Whether something does not work as it should; then the text says what follows from it.
    """

    topic: str
    text: str
    wrong: bool = False


def examine() -> Iterator[Finding]:
    """Yield what there is to say of this machine, in half a second or so; starts worker processes."""
    yield from _versions()
    yield from _processors()
    yield from _overrides()
    yield _sampler_test()
    yield from _costs()


def _versions() -> Iterator[Finding]:
    build = platform.python_implementation(), platform.python_version(), " ".join(platform.python_compiler().split())
    yield Finding("python", f"{' '.join(build)}, {sys.executable}")
    yield Finding("system", platform.platform())
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:  # run from a source tree
            found.append(f"{name} not installed")
    yield Finding("packages", ", ".join(found))


def _processors() -> Iterator[Finding]:
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    allowed = "" if affinity is None else f", {affinity} allowed by the affinity"
    quota = cpu_quota()
    limit = ", no quota" if quota is None else f", a quota of {quota:g}"
    yield Finding("CPUs", f"{available_cpus()} used: {os.cpu_count()} there{allowed}{limit}")
    if gil_enabled():
        yield Finding("GIL", "on: Python code of one process runs one thread at a time")
    else:
        yield Finding("GIL", "off: threads run Python code at the same time")
    if sysconfig.get_config_var("Py_GIL_DISABLED") and gil_enabled():
        yield Finding(
            "GIL", "this build can do without; an extension module or PYTHON_GIL=1 switched it on", wrong=True
        )


def _overrides() -> Iterator[Finding]:
    """Yield what the environment changes for every function of every program."""
    try:
        environment()
    except ParallelError as error:
        yield Finding("settings", f"{error}; every map and submit says so and does nothing else", wrong=True)
    for option, name in ENVIRONMENT.items():
        if os.environ.get(name):
            yield Finding("settings", f"{name}={os.environ[name]} takes the place of every function's own {option}")
    if not MOVES:
        yield Finding("settings", "PARALLEL_DECO_SEATS=0: threads and workers are not moved from CPU to CPU")
    if os.environ.get("PARALLEL_DECO_PROGRESS"):
        yield Finding("settings", f"PARALLEL_DECO_PROGRESS={os.environ['PARALLEL_DECO_PROGRESS']}: bars of progress=")


def _sampler_test() -> Finding:
    """Try the sampler on a call that computes in Python, and on one that waits."""
    if not gil_enabled():
        return Finding("sampler", "not needed without a GIL")
    if not _sampler.works:
        return Finding(
            "sampler",
            "cannot tell who holds the GIL in this interpreter: all computing counts as holding it",
            wrong=True,
        )
    seen = measure(_compute)
    computing = seen.gil / max(seen.cpu, 1e-9)  # other programs may have had the CPU for the rest of its time
    seen = measure(time.sleep, CALL)
    waiting = seen.gil / seen.wall
    text = f"a loop in Python holds the GIL {100 * computing:.0f} % of its time, a sleep {100 * waiting:.0f} %"
    wrong = not (computing > 1 - TOLERANCE and waiting < TOLERANCE)
    return Finding("sampler", f"{text}: {'it should be 100 % and 0 %' if wrong else 'it works'}", wrong)


def _compute() -> None:
    end = time.thread_time() + CALL
    while time.thread_time() < end:
        sum(range(1000))


def _costs() -> Iterator[Finding]:
    reason = pools.processes().unavailable
    if reason is not None:
        yield Finding("processes", f"none: {reason}", wrong=True)
    machine, measured = _machine.measure_all()

    def figure(name: str, text: str) -> str:
        return text if name in measured else f"{text} (not measured)"

    yield Finding(
        "threads",
        f"a batch there and back {figure('dispatch_thread', seconds_text(machine.dispatch_thread))}, "
        f"the first one {figure('wake', seconds_text(machine.wake))}",
    )
    if reason is None:
        yield Finding(
            "processes",
            f"ready in {figure('start', seconds_text(machine.start))}, "
            f"a batch there and back {figure('dispatch_process', seconds_text(machine.dispatch_process))}, "
            f"{figure('bandwidth', bytes_text(machine.bandwidth))}/s through the pipe",
        )

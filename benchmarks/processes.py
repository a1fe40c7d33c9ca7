"""Worker processes beside their peers: round trip, stream, large arrays, start from cold. Ratios in one run.

    python benchmarks/processes.py [--rounds 5] [--only round-trip stream arrays cold]

Each figure is the median of rounds in which all take their turn, so a noisy machine is noisy for everybody. Peers that
are not installed are left out. Read the ratios; the seconds depend on the machine.
"""

import argparse
import contextlib
import importlib.util
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from parallel_deco import parallel, shutdown

WIDTH = 2
STREAM = 2_000
LARGE = 8_000_000  # float64: 64 MB

Submit = Callable[..., Callable[[], Any]]


def nothing(x):
    """What a round trip calls."""
    return x


def length(array):
    """Take a large argument."""
    return len(array)


KEPT = []


def block(size):
    """Return a large result that is there already."""
    if not KEPT:
        KEPT.append(np.ones(size))
    return KEPT[0]


class Peer:
    """A pool: how to submit a call, and how to end it."""

    def __init__(self, name: str, submit: Submit, close: Callable[[], Any]) -> None:
        self.name = name
        self.submit = submit
        self.close = close

    def call(self, function: Callable[..., Any], argument: Any) -> Any:
        """Submit and wait."""
        return self.submit(function, argument)()

    def stream(self) -> None:
        """Submit many and wait for all."""
        for result in [self.submit(nothing, index) for index in range(STREAM)]:
            result()


def here() -> Peer:
    """Return this library."""
    decorated = {f: parallel(f, backend="processes", max_workers=WIDTH) for f in (nothing, length, block)}
    return Peer("parallel_deco", lambda f, x: decorated[f].submit(x).result, shutdown)


def process_pool_executor() -> Peer:
    """Return the standard library's executor."""
    from concurrent.futures import ProcessPoolExecutor

    pool = ProcessPoolExecutor(WIDTH)
    return Peer("ProcessPoolExecutor", lambda f, x: pool.submit(f, x).result, pool.shutdown)


def multiprocessing_pool() -> Peer:
    """Return the standard library's older pool."""
    from multiprocessing import Pool

    pool = Pool(WIDTH)
    return Peer("multiprocessing.Pool", lambda f, x: pool.apply_async(f, (x,)).get, pool.terminate)


def loky() -> Peer:
    """Return joblib's executor."""
    from loky import get_reusable_executor

    pool = get_reusable_executor(WIDTH)
    return Peer("loky", lambda f, x: pool.submit(f, x).result, lambda: pool.shutdown(kill_workers=True))


def joblib() -> Peer:
    """Return joblib, which has no submit: a call of its own for each."""
    from joblib import Parallel, delayed

    pool = Parallel(WIDTH)

    def submit(function: Callable[..., Any], argument: Any) -> Callable[[], Any]:
        result = pool([delayed(function)(argument), delayed(nothing)(0)])[0]
        return lambda: result

    return Peer("joblib", submit, lambda: None)


def pebble() -> Peer:
    """Return pebble's pool."""
    from pebble import ProcessPool

    pool = ProcessPool(WIDTH)
    return Peer("pebble", lambda f, x: pool.schedule(f, args=(x,)).result, pool.stop)


def mpire() -> Peer:
    """Return mpire's pool."""
    from mpire import WorkerPool

    pool = WorkerPool(WIDTH, keep_alive=True)
    return Peer("mpire", lambda f, x: pool.apply_async(f, (x,)).get, pool.terminate)


PEERS = {
    "loky": loky,
    "joblib": joblib,
    "pebble": pebble,
    "mpire": mpire,
}


def peers() -> list[Peer]:
    """Return this library, the standard library's pools, and what else is installed."""
    found = [here(), process_pool_executor(), multiprocessing_pool()]
    return found + [make() for name, make in PEERS.items() if importlib.util.find_spec(name)]


def seconds(call: Callable[[], Any]) -> float:
    """Return how long a call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def table(title: str, figures: dict[str, list[float]], unit: float, name: str, base: str = "parallel_deco") -> None:
    """Print medians, and how many times this library's each is."""
    print(f"\n{title}")
    ours = statistics.median(figures[base])
    for who, times in figures.items():
        middle = statistics.median(times)
        print(f"  {who:22} {middle * unit:10.1f} {name}   {middle / ours:8.2f} x", flush=True)


def round_trip(pools: list[Peer], rounds: int) -> None:
    """One submit and its result, warm."""
    figures: dict[str, list[float]] = {pool.name: [] for pool in pools}
    for _ in range(rounds):
        for pool in pools:
            calls = 20 if pool.name in ("joblib", "mpire") else 300
            times = [seconds(lambda: pool.call(nothing, 1)) for _ in range(calls)]  # noqa: B023 - called at once
            figures[pool.name].append(statistics.median(times))
    table("round trip of a submit, warm", figures, 1e6, "µs")


def stream(pools: list[Peer], rounds: int) -> None:
    """Many tiny submits."""
    pools = [pool for pool in pools if pool.name not in ("joblib", "mpire")]
    figures = {pool.name: [] for pool in pools}
    for _ in range(rounds):
        for pool in pools:
            figures[pool.name].append(seconds(pool.stream) / STREAM)
    table(f"stream of {STREAM} tiny submits, per task", figures, 1e6, "µs")


def arrays(pools: list[Peer], rounds: int) -> None:
    """64 MB there, and 64 MB back, first and later; beside a plain copy."""
    source, target = np.random.default_rng(0).random(LARGE), np.empty(LARGE)
    for title, function, argument in (("argument", length, source), ("result", block, LARGE)):
        first: dict[str, list[float]] = {}
        later: dict[str, list[float]] = {"numpy.copyto": []}
        for pool in pools:
            pool.call(function, source[:10] if function is length else LARGE)  # numpy is imported, the block made
            if function is length:
                first[pool.name] = [seconds(lambda: pool.call(function, argument))]  # noqa: B023
            for _ in range(2):
                pool.call(function, argument)
            later[pool.name] = []
        for _ in range(rounds):
            later["numpy.copyto"].append(seconds(lambda: np.copyto(target, source)))
            for pool in pools:
                later[pool.name].append(seconds(lambda: pool.call(function, argument)))  # noqa: B023
        if first:
            table(f"64 MB {title}, first use", first, 1e3, "ms")
        table(f"64 MB {title}, later", later, 1e3, "ms")


COLD = {
    "parallel_deco": "from parallel_deco import parallel\n"
    "f = parallel(abs, backend='processes', max_workers=2)\n"
    "results = [f.submit(x) for x in (-1, -2)]\n[r.result() for r in results]",
    "executor (fork)": "import multiprocessing as m\nfrom concurrent.futures import ProcessPoolExecutor\n"
    "p = ProcessPoolExecutor(2, m.get_context('fork'))\n"
    "results = [p.submit(abs, x) for x in (-1, -2)]\n[r.result() for r in results]",
    "executor (forkserver)": "import multiprocessing as m\nfrom concurrent.futures import ProcessPoolExecutor\n"
    "if __name__ == '__main__':\n"
    "  p = ProcessPoolExecutor(2, m.get_context('forkserver'))\n"
    "  results = [p.submit(abs, x) for x in (-1, -2)]\n  [r.result() for r in results]",
    "Pool (fork)": "import multiprocessing as m\np = m.get_context('fork').Pool(2)\n"
    "results = [p.apply_async(abs, (x,)) for x in (-1, -2)]\n[r.get() for r in results]",
    "loky": "from loky import get_reusable_executor\np = get_reusable_executor(2)\n"
    "results = [p.submit(abs, x) for x in (-1, -2)]\n[r.result() for r in results]",
}


def one_start(code: str, folder: str) -> float:
    """Return the seconds from starting a program to its results; what it leaves running is killed."""
    path, answer = os.path.join(folder, "cold.py"), os.path.join(folder, "answer")
    with open(path, "w") as file:
        file.write(f"{code}\nif __name__ == '__main__':\n  import os, time\n")
        file.write(f"  print(time.monotonic(), file=open({answer!r}, 'w'), flush=True)\n  os._exit(0)\n")
    began = time.monotonic()
    program = subprocess.Popen([sys.executable, path], start_new_session=True)
    program.wait()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(program.pid, signal.SIGKILL)
    with open(answer) as file:
        return float(file.read()) - began


def cold(rounds: int) -> None:
    """From the start of an interpreter to the results of two tasks."""
    figures: dict[str, list[float]] = {name: [] for name in COLD if name != "loky" or importlib.util.find_spec("loky")}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds + 1):
            for name in figures:
                taken = one_start(COLD[name], folder)
                if number:  # the first round fills the caches
                    figures[name].append(taken)
    table("cold: from the interpreter's start to two results", figures, 1e3, "ms")


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=["cold", "round-trip", "stream", "arrays"])
    options = parser.parse_args()
    if "cold" in options.only:
        cold(options.rounds)
    pools = peers() if set(options.only) - {"cold"} else []
    for pool in pools:
        pool.call(nothing, 1)
    if "round-trip" in options.only:
        round_trip(pools, options.rounds)
    if "stream" in options.only:
        stream(pools, options.rounds)
    if "arrays" in options.only:
        arrays(pools, options.rounds)
    for pool in pools:
        pool.close()


if __name__ == "__main__":
    main()

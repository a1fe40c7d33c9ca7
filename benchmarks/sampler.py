"""How right the sampler is, and how much it disturbs: constructed truths, and the same work watched and not watched.

python benchmarks/sampler.py [--rounds 10]
"""

import argparse
import statistics
import sys
import time
import zlib

from parallel_deco import measure
from parallel_deco._cpus import gil_enabled
from parallel_deco._readings import Stopwatch

BLOCK = bytes(200_000)
PIECE = 8e-3
WHOLE = 0.5
BURST = 0.3e-3


def main():
    """Print both; the exit status is 1 when a truth is missed by more than 0.05, or the work is disturbed by 1 %."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    given = parser.parse_args()
    print(f"Python {sys.version.split()[0]}, GIL {'on' if gil_enabled() else 'off'}")
    worst = 0.0
    for free in (0.0, 0.25, 0.5, 0.75, 1.0):
        seen = [measure(mixed, free) for _ in range(given.rounds)]
        errors = [1 - one.gil / one.cpu - (one.value if gil_enabled() else 1.0) for one in seen]
        worst = max(worst, abs(statistics.median(errors)))
        print(
            f"GIL-free {free:4.0%}: found {statistics.median(1 - one.gil / one.cpu for one in seen):5.1%},"
            f" error median {statistics.median(errors):+.3f}, largest {max(map(abs, errors)):.3f}"
        )
    for free in (0.0, 1.0):
        seen = [measure(bursts, free) for _ in range(given.rounds)]
        found = statistics.median(1 - one.gil / one.cpu for one in seen)
        print(f"GIL-free {free:4.0%}, {1e3 * BURST:.1f} ms at a time and asleep in between: found {found:5.1%}")
    ratio = disturbance(8 * given.rounds)
    print(f"watched work takes {ratio:.4f} times as long as unwatched work")
    return int(worst > 0.05 or ratio > 1.01)


def hold(seconds):
    """Compute with the GIL held."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for _ in range(50):
            pass


def release(seconds):
    """Compute with the GIL released.

    By a clock that asks the kernel for nothing: Linux may take the CPU away from a thread that asks for its CPU time,
    as the time slice is looked at then. Where the sampler waits for that CPU, it would look only at such moments.
    """
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        zlib.crc32(BLOCK)


def mixed(free):
    """Release the GIL for a share of the time; return the share that it came to."""
    begin = time.thread_time()
    released = 0.0
    while (now := time.thread_time()) - begin < WHOLE:
        if free:
            release(PIECE * free)
        released += time.thread_time() - now
        if free < 1:
            hold(PIECE * (1 - free))
    return released / (time.thread_time() - begin)


def bursts(free):
    """Sleep most of the time, and compute for a moment at a time; to sleep takes some CPU time too."""
    for _ in range(60):
        time.sleep(6e-3)
        (release if free else hold)(BURST)


def disturbance(rounds):
    """Return how much longer the same work takes under the sampler: medians of rounds, by turns."""
    times = {True: [], False: []}
    for number in range(2 * rounds):
        watched = bool(number % 2)
        watch = Stopwatch(watch=watched, careful=False)
        start = time.perf_counter()
        for _ in range(30):
            sum(range(50_000))
        times[watched].append(time.perf_counter() - start)
        watch.stop(1)
    return statistics.median(times[True]) / statistics.median(times[False])


if __name__ == "__main__":
    sys.exit(main())

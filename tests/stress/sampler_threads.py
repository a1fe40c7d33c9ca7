"""Threads that start, compute, wait, raise and end under the sampler, for minutes: nothing may crash, hang or leak.

    python tests/stress/sampler_threads.py [--minutes 10] [--threads 12]

A look at a thread state that is gone already would crash the interpreter, so the thing to see is that it ends by
itself. Also forks now and then, peeks from other threads, and ends threads while they are being peeked at.
"""

import argparse
import os
import random
import sys
import threading
import time
import zlib

from parallel_deco import _sampler, measure
from parallel_deco._readings import Stopwatch

BLOCK = bytes(200_000)


def main():
    """Run for the time given; the exit status is 0 when all went well."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--threads", type=int, default=12)
    given = parser.parse_args()
    if not _sampler.works:
        print("the sampler does not work here: nothing to try")
        return 1
    end = time.monotonic() + 60 * given.minutes
    counts = {"calls": 0, "threads": 0, "looks": 0, "peeks": 0, "forks": 0, "wrong": 0}
    watches = {}
    stop = threading.Event()
    peeker = threading.Thread(target=peek, args=(watches, counts, stop))
    peeker.start()
    alive = []
    generator = random.Random(0)
    while time.monotonic() < end:
        alive = [thread for thread in alive if thread.is_alive()]
        while len(alive) < given.threads:
            thread = threading.Thread(target=live, args=(generator.random(), watches, counts))
            thread.start()
            alive.append(thread)
            counts["threads"] += 1
        if hasattr(os, "fork") and generator.random() < 0.02:
            counts["forks"] += 1
            counts["wrong"] += not child_is_well()
        time.sleep(0.002)
    for thread in alive:
        thread.join()
    stop.set()
    peeker.join()
    print(", ".join(f"{value:,} {name}" for name, value in counts.items()))
    return int(counts["wrong"] > 0)


def live(seed, watches, counts):
    """Be a thread: a few watched calls, and then the end, sometimes in the middle of one."""
    generator = random.Random(seed)
    for _ in range(generator.randrange(1, 8)):
        kind = generator.randrange(4)
        if kind == 0:
            watch = Stopwatch(watch=True, careful=True)
            watches[threading.get_ident()] = watch
            work(generator)
            counts["looks"] += watch.stop(1).samples
            watches.pop(threading.get_ident(), None)
        elif kind == 1:
            try:
                measure(fail)
            except LookupError:
                pass
        elif kind == 2:
            outer = Stopwatch(watch=True, careful=False)  # one in the other, as in nested maps
            measure(work, generator)
            outer.stop(1)
        else:
            seen = measure(work, generator)
            counts["looks"] += seen.samples
            if not 0 <= (seen.gil if seen.samples else 0) <= seen.wall * 1.001:
                print("wrong:", seen, flush=True)
                counts["wrong"] += 1
        counts["calls"] += 1


def work(generator):
    """Hold the GIL, release it, or wait."""
    kind = generator.randrange(3)
    if kind == 0:
        sum(range(generator.randrange(100_000)))
    elif kind == 1:
        for _ in range(generator.randrange(30)):
            zlib.crc32(BLOCK)
    else:
        time.sleep(generator.random() * 0.004)


def fail():
    """End a watched call by an exception."""
    raise LookupError


def peek(watches, counts, stop):
    """Look at calls of other threads while they run, and while they end."""
    while not stop.is_set():
        for watch in list(watches.values()):
            counts["peeks"] += watch.peek() is not None
        time.sleep(0.0005)


def child_is_well():
    """Fork; the child must be able to measure, though the sampler's thread is not in it."""
    pid = os.fork()
    if not pid:
        try:
            seen = measure(time.sleep, 0.05)  # long enough for a look, however busy the machine is
            if seen.samples and seen.gil < 0.01:
                os._exit(0)
            print("wrong in a child:", seen, flush=True)
            os._exit(3)
        finally:
            os._exit(4)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


if __name__ == "__main__":
    sys.exit(main())

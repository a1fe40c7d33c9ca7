"""Random maps, submits, cancels, breaks and exceptions from eight threads at once; every result is checked.

    python tests/stress/everything.py [--minutes 10] [--threads 8] [--seed 0]

Ends with exit status 1 when a result is wrong, when an operation takes longer than a minute (all stacks are printed
then), or when a thread, a child, a descriptor or a shared segment is left at the end.
"""

import argparse
import collections
import faulthandler
import os
import random
import sys
import threading
import time
from concurrent.futures import CancelledError, as_completed, wait
from pathlib import Path

import numpy as np

from parallel_deco import ItemTimeoutError, parallel, shutdown

#: Seconds after which an operation hangs.
HANGS = 60.0
BACKENDS = ("auto", "auto", "serial", "threads", "processes")


def double(x):
    """Take no time."""
    return 2 * x


def spin(x):
    """Compute for a while that varies."""
    total = 0
    for number in range(x % 7 * 400):
        total += number
    return 2 * x


def nap(x):
    """Wait for a while that varies."""
    time.sleep(x % 5 * 1e-3)
    return 2 * x


def scale(x):
    """Give an array."""
    return np.full(30_000, 2 * x)


def fails_on_thirteen(x):
    """Fail now and then."""
    if x % 13 == 12:
        raise ValueError(x)
    return 2 * x


def late_on_thirteen(x):
    """Take too long now and then."""
    time.sleep(0.4 if x % 13 == 12 else 0)
    return 2 * x


def inner(x):
    """Map inside of a map."""
    return sum(parallel(double).map([x, x]))


def right(function, x, value):
    """Whether a value is what the function returns."""
    if function is scale:
        return value.shape == (30_000,) and value[0] == value[-1] == 2 * x
    return value == (4 * x if function is inner else 2 * x)


class Actor:
    """One of the threads: does one random thing after the other."""

    def __init__(self, number, seed, end):
        self.chance = random.Random(seed * 1000 + number)
        self.end = end
        self.done = collections.Counter()
        self.wrong = []
        self.missed = 0
        self.began = time.monotonic()
        self.doing = "nothing"
        self.thread = threading.Thread(target=self.run, name=f"actor-{number}")
        self.thread.start()

    def run(self):
        things = (self.map, self.map, self.map_with_errors, self.leave_early, self.submit, self.cancel, self.time_out)
        while time.monotonic() < self.end:
            thing = self.chance.choice(things)
            self.began, self.doing = time.monotonic(), thing.__name__
            try:
                thing()
            except BaseException as error:  # whatever it is, it is wrong
                self.wrong.append((self.doing, repr(error)))
            self.done[self.doing] += 1

    def decorated(self, function, **options):
        """Decorate with random options, or take the same object as others do."""
        backend = self.chance.choice(BACKENDS)
        if not options and self.chance.random() < 0.5:
            return SHARED[function, backend]
        width = self.chance.choice((None, None, 1, 2, 5))
        chunksize = self.chance.choice((None, None, 1, 3, 50))
        return parallel(function, backend=backend, max_workers=width, chunksize=chunksize, **options)

    def items(self):
        count = self.chance.choice((0, 1, 2, 10, 100, 300))
        return [self.chance.randrange(1000) for _ in range(count)]

    def check(self, function, items, values):
        ok = len(values) == len(items) and all(map(lambda x, v: right(function, x, v), items, values))
        if not ok:
            self.wrong.append((self.doing, function.__name__, items, str(values)[:500]))

    def map(self):
        function = self.chance.choice((double, spin, nap, scale, inner))
        items = self.items()[: 40 if function in (scale, inner) else None]
        ordered = self.chance.random() < 0.7
        given = iter(items) if self.chance.random() < 0.3 else items
        values = list(self.decorated(function).map(given, ordered=ordered))
        if not ordered and function is not scale:
            values, items = sorted(values), sorted(items)
        if ordered or function is not scale:
            self.check(function, items, values)

    def map_with_errors(self):
        items = self.items()
        wanted = [None if x % 13 == 12 else 2 * x for x in items]
        if self.chance.random() < 0.5:
            values = list(self.decorated(fails_on_thirteen).map(items, return_exceptions=True))
            seen = [None if isinstance(value, ValueError) else value for value in values]
        else:
            seen = []
            try:
                seen.extend(self.decorated(fails_on_thirteen).map(items))
            except ValueError as error:
                wanted = wanted[: wanted.index(None)]
                if error.args != (items[len(wanted)],):
                    self.wrong.append((self.doing, "another item's exception", items, error.args))
        if seen != wanted:
            self.wrong.append((self.doing, items, seen))

    def leave_early(self):
        function = self.chance.choice((double, spin, nap))
        results = self.decorated(function).map(iter(lambda: 7, None))  # endless
        taken = [value for _, value in zip(range(self.chance.randrange(50)), results, strict=False)]
        if self.chance.random() < 0.5:
            results.close()
        del results
        self.check(function, [7] * len(taken), taken)

    def submit(self):
        function = self.chance.choice((double, spin, nap, scale, inner))
        task = self.decorated(function)
        items = self.items()[:60]
        futures = {task.submit(x): x for x in items}
        for future in as_completed(futures, HANGS):
            if not right(function, futures[future], future.result()):
                self.wrong.append((self.doing, function.__name__, futures[future], str(future.result())[:200]))

    def cancel(self):
        task = self.decorated(self.chance.choice((nap, spin)))
        items = self.items()[:60]
        futures = [(x, task.submit(x)) for x in items]
        for _, future in futures:
            if self.chance.random() < 0.5:
                future.cancel()
        wait([future for _, future in futures], HANGS)
        for x, future in futures:
            try:
                if future.result(0) != 2 * x:
                    self.wrong.append((self.doing, x, future.result()))
            except CancelledError:
                continue

    def time_out(self):
        items = self.items()[:10]
        backend = self.chance.choice(("auto", "threads", "processes"))
        task = parallel(late_on_thirteen, backend=backend, timeout=0.2, chunksize=self.chance.choice((None, 1, 4)))
        values = list(task.map(items, return_exceptions=True))
        for x, value in zip(items, values, strict=True):
            # On a busy machine any item may be late, and so may be the alarm for one that is.
            late = isinstance(value, ItemTimeoutError)
            self.missed += x % 13 == 12 and not late
            if not late and value != 2 * x:
                self.wrong.append((self.doing, backend, x, value))


SHARED = {
    (function, backend): parallel(function, backend=backend)
    for function in (double, spin, nap, scale, inner, fails_on_thirteen, late_on_thirteen)
    for backend in BACKENDS
}


def inventory():
    """Return what could be left: threads, children, descriptors, names of shared memory."""
    descriptors = []
    for name in os.listdir("/proc/self/fd"):
        try:
            descriptors.append(os.readlink(f"/proc/self/fd/{name}").partition(":")[0])
        except OSError:
            continue
    children = [task.read_text().split() for task in Path("/proc/self/task").glob("*/children")]
    return (
        sorted(t.name for t in threading.enumerate()),
        sum(map(len, children)),
        sorted(descriptors),
        sorted(os.listdir("/dev/shm")),
    )


def main():
    """Let the actors act."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    parallel(abs, backend="threads").submit(1).result()  # what is opened once and stays
    shutdown()
    before = inventory()
    actors = [Actor(n, options.seed, time.monotonic() + 60 * options.minutes) for n in range(options.threads)]
    while any(actor.thread.is_alive() for actor in actors):
        time.sleep(0.5)
        for actor in actors:
            if actor.thread.is_alive() and time.monotonic() - actor.began > HANGS:
                print(f"{actor.thread.name} hangs in {actor.doing}", flush=True)
                faulthandler.dump_traceback()
                os._exit(1)
    shutdown()
    done = sum((actor.done for actor in actors), collections.Counter())
    wrong = [each for actor in actors for each in actor.wrong]
    print(f"{sum(actor.missed for actor in actors)} late items ended before their alarm was heard")
    print(f"{sum(done.values())} operations: " + ", ".join(f"{count} {name}" for name, count in done.most_common()))
    for each in wrong[:20]:
        print("wrong:", each)
    end = time.monotonic() + 10.0
    while inventory() != before and time.monotonic() < end:
        time.sleep(0.1)  # threads that were left behind by a timeout are still on their way
    left = inventory() != before
    print(f"{len(wrong)} wrong" + (f"; left: {inventory()} instead of {before}" if left else ", nothing left behind"))
    return 1 if wrong or left else 0


if __name__ == "__main__":
    sys.exit(main())

"""Workers that are killed, crash, hang and raise: every item must still have exactly one outcome.

    python tests/stress/chaos_processes.py [--items 10000] [--every 0.05] [--rounds 1] [--seed 0]

Kills a random worker every so often; then again with items that segfault, call os._exit, hang and raise, 1 in 50
each; with arrays among the arguments and results. Ends with exit status 1 when an outcome is missing, doubled or
wrong, when something hangs, or when a thread, child, descriptor or mapping is left.
"""

import argparse
import faulthandler
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np

from parallel_deco import ItemTimeoutError, WorkerDied
from parallel_deco.backends.batch import Batch
from parallel_deco.backends.processes import ProcessBackend

TIMEOUT = 0.3
BATCH = 8
LARGE = 20_000  # float64: 160 KB, apart from the pickle


def work(item):
    """What each item does, by its kind."""
    number, kind, array = item
    if kind == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if kind == "exit":
        os._exit(3)
    if kind == "hang":
        time.sleep(1000)
    if kind == "raise":
        raise ValueError(number)
    end = time.perf_counter() + 0.0005
    while time.perf_counter() < end:
        pass
    if array is None:
        return number
    array += number  # it is the worker's own
    return array


def right(number, kind, value, error, killing):
    """Whether an outcome is one that this item may have."""
    expected = {"segfault": WorkerDied, "exit": WorkerDied, "hang": ItemTimeoutError, "raise": ValueError}.get(kind)
    if error is not None:
        return isinstance(error, expected or ()) or (killing and isinstance(error, WorkerDied))
    if expected is not None:
        return False
    return value == number if not isinstance(value, np.ndarray) else bool((value == number).all())


class Round:
    """Some thousand items through a pool, with trouble."""

    def __init__(self, backend, items, width):
        self.backend = backend
        self.items = items
        self.width = width
        self.outcomes = [[] for _ in items]
        self.lock = threading.Lock()
        self.room = threading.Semaphore(4 * width)

    def run(self):
        left = threading.Semaphore(0)
        batches = range(0, len(self.items), BATCH)
        for first in batches:
            self.room.acquire()
            batch = Batch(work, self.items[first : first + BATCH], first=first, keep_going=True, timeout=TIMEOUT)

            def done(result, first=first):
                self.take(first, result)
                self.room.release()
                left.release()

            self.backend.start(batch, done, width=self.width, ahead=True)
        for _ in batches:
            left.acquire()

    def take(self, first, result):
        with self.lock:
            for position, value in enumerate(result.values):
                self.outcomes[first + position].append((value, result.errors.get(position)))

    def wrong(self, killing):
        found = []
        for (number, kind, _), outcomes in zip(self.items, self.outcomes, strict=True):
            if len(outcomes) != 1 or not right(number, kind, *outcomes[0], killing):
                found.append((number, kind, outcomes))
        return found


class Killer:
    """Kills a random worker again and again."""

    def __init__(self, backend, every, chance):
        self.backend, self.every, self.chance = backend, every, chance
        self.killed = 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stop.wait(self.every):
            pids = [link.pid for link in self.backend._crew if link.pid]
            if pids:
                try:
                    os.kill(self.chance.choice(pids), signal.SIGKILL)
                    self.killed += 1
                except ProcessLookupError:
                    pass

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


def inventory():
    """What a pool could leave behind."""
    maps = sum("memfd:parallel_deco" in line for line in Path("/proc/self/maps").read_text().splitlines())
    names = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    descriptors = [os.readlink(name) for name in names if os.path.lexists(name)]
    ours = sorted(name for name in descriptors if "socket" in name or "memfd" in name)
    return threading.active_count(), ours, children(), maps, os.listdir("/dev/shm")


def children():
    """Process ids of this process's children."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = stat.read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        if int(parent) == os.getpid():
            found.append(stat.parent.name)
    return found


def items_of(count, chance, trouble):
    """Yield the items: number, kind and, for one in ten, an array."""
    kinds = ["segfault", "exit", "hang", "raise"]
    for number in range(count):
        kind = chance.choice(kinds) if trouble and chance.random() < len(kinds) / 50 else "good"
        yield number, kind, np.zeros(LARGE) if chance.random() < 0.1 else None


def main():
    """Run the rounds and say what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--every", type=float, default=0.05)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--width", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    faulthandler.dump_traceback_later(600, exit=True)
    chance = random.Random(options.seed)
    before = inventory()
    failed = False
    for number in range(options.rounds):
        for trouble in (False, True):
            backend = ProcessBackend()
            killing = not trouble
            count = options.items if killing else options.items // 4
            round_ = Round(backend, list(items_of(count, chance, trouble)), options.width)
            began = time.perf_counter()
            with Killer(backend, options.every if killing else 3600, chance) as killer:
                round_.run()
            seconds = time.perf_counter() - began
            wrong = round_.wrong(killing)
            died = sum(error is not None for outcomes in round_.outcomes for _, error in outcomes)
            print(
                f"round {number}: {count} items in {seconds:.1f} s, {killer.killed} workers killed from outside,"
                f" {died} items with errors, {len(wrong)} wrong",
                flush=True,
            )
            for entry in wrong[:5]:
                print("   ", str(entry)[:500])
            backend.shutdown()
            failed |= bool(wrong)
            round_ = None
    after = inventory()
    if after != before:
        print("left behind:", before, after, sep="\n  ")
        failed = True
    sys.exit(failed)


if __name__ == "__main__":
    main()

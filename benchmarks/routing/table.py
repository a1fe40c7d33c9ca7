"""Which route `auto` takes for each function of the collection, beside the route that is fastest when measured.

    python benchmarks/routing/table.py [--rounds 3] [--only NAME ...] [--json FILE] [--busy 4 --against FILE]

For each function the loop and each explicit backend (threads 2, 8 and 32 wide; warm processes; "abreast", which is 16
threads in a process for each CPU, and so processes too) run by turns; the fastest says which route is right. Then
`auto` runs with nothing known of the function (pools are warm), and again with what it learned. It is right when it
takes that route, or one that takes at most 10 % longer, by hand or under auto. What finding out costs is in the ratios:
auto's time over the right route's. Medians over the rounds.

With --busy, so many other processes compute all the while, and only the routes that `auto` takes are compared, with
those of an earlier run's JSON file: other programs are to change no verdict. A route that took at most 10 % longer than
the best, by hand and without the other programs, is no other verdict.
"""

import argparse
import contextlib
import json
import math
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from functions import CASES, HELD_OUT

from parallel_deco import parallel

#: How much slower than the right route another may be.
TOLERANCE = 1.10
CONTENDERS = {
    "serial": ("serial", None),
    "threads 2": ("threads", 2),
    "threads 8": ("threads", 8),
    "threads 32": ("threads", 32),
    "processes": ("processes", None),
    "abreast 16": ("processes", 16),
}


class Abreast:
    """By hand: threads in each of as many worker processes as there are CPUs."""

    def __init__(self, function, width):
        self.function, self.width = function, width

    def map(self, items):
        """Run all items; a worker has every so many of them."""
        parts = [(self.function, items[at :: os.cpu_count()], self.width) for at in range(os.cpu_count())]
        return parallel(run_part, backend="processes", chunksize=1).starmap(parts)


def run_part(function, items, width):
    """Run items in threads, in a worker process."""
    with ThreadPoolExecutor(width) as pool:
        return list(pool.map(function, items))


def main():
    """Print the table; the exit status is 1 when too many are wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=None, metavar="NAME")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--busy", type=int, default=0, metavar="PROCESSES")
    parser.add_argument("--against", metavar="FILE")
    given = parser.parse_args()
    bytearray(20 << 20)  # freed at once: what malloc gives back would depend on what ran before (regret.py, BLOCK)
    list(parallel(abs, backend="processes").map(range(8)))
    list(parallel(time.sleep, shared=False).map([0.003] * 20))  # the code reader is loaded too
    if given.against:
        with open(given.against) as file:
            earlier = {row["name"]: row for row in json.load(file)}
        return compare(earlier, given)
    rows = []
    print(f"{'function':22} {'right route':22} {'loop':>9} {'right':>9}  first use                second use")
    for case in CASES:
        if given.only is None or case.name in given.only:
            row = judge(case, given.rounds)
            rows.append(row)
            print(line(row), flush=True)
    print("\n".join(summary(rows)))
    if given.json:
        with open(given.json, "w") as file:
            json.dump(rows, file, indent=1)
    wrong = [sum(not row[use]["right"] for row in rows) for use in ("first", "second")]
    return int(wrong[0] > 0.05 * len(rows) or wrong[1] > 0)


def compare(earlier, given):
    """Print which verdicts are others now, beside busy processes; return whether there are any."""
    changed = count = 0
    for _ in range(4):  # each worker has loaded the functions, as by the time of most cases: that is no verdict
        list(parallel(len, backend="processes", chunksize=1).map([[case.function] for case in CASES[:8]]))
    with busy(given.busy):
        for case in CASES:
            if case.name not in earlier or (given.only is not None and case.name not in given.only):
                continue
            auto = parallel(case.function)
            routes = {}
            for use in ("first", "second"):
                timed(auto, case.items)
                routes[use] = auto.explain().route
            count += 1
            row = earlier[case.name]
            for use, route in routes.items():
                before = row[use]["route"]
                if route != before:
                    worse = by_hand(row["times"], route) / row["times"][row["best"]]
                    changed += use == "second" and worse > TOLERANCE
                    print(
                        f"{case.name}: {use} use {route} ({worse:.2f}), was {before}; {auto.explain().reason}",
                        flush=True,
                    )
    print(f"{changed} of {count} verdicts of the second use are others beside {given.busy} busy processes")
    return int(changed > 0)


@contextlib.contextmanager
def busy(count):
    """Keep other processes computing."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def judge(case, rounds):
    """Measure a case; return what is in the table and more."""
    fixed = {
        name: Abreast(case.function, width)
        if name.startswith("abreast")
        else parallel(case.function, backend=backend, max_workers=width)
        for name, (backend, width) in CONTENDERS.items()
        if not (case.stays and backend == "processes")
    }
    times = {name: [] for name in (*fixed, "first", "second")}
    routes = {"first": [], "second": []}
    for function in fixed.values():
        list(function.map(case.items))  # files are there, the workers have imported what it needs
    for _ in range(rounds):
        for name, function in fixed.items():
            times[name].append(timed(function, case.items))
        auto = parallel(case.function)
        for use in ("first", "second"):
            times[use].append(timed(auto, case.items))
            routes[use].append(auto.explain().route)
    medians = {name: statistics.median(values) for name, values in times.items()}
    best = min(fixed, key=medians.__getitem__)
    row = {"name": case.name, "best": best, "times": medians, "held_out": case.name in HELD_OUT}
    for use in ("first", "second"):
        route = statistics.mode(routes[use])
        ratio = medians[use] / medians[best]
        right = route == CONTENDERS[best][0] or min(ratio, by_hand(medians, route) / medians[best]) <= TOLERANCE
        row[use] = {"route": route, "ratio": ratio, "right": right}
    return row


def by_hand(times, route):
    """Return the least seconds that a route took when it was chosen by hand."""
    return min(
        (times[name] for name, (chosen, _) in CONTENDERS.items() if chosen == route and name in times), default=math.inf
    )


def timed(function, items):
    """Return the seconds that a map takes."""
    start = time.perf_counter()
    for _ in function.map(items):
        pass
    return time.perf_counter() - start


def line(row):
    """Return a row as text."""
    times = row["times"]
    uses = [
        f"{' ' if row[use]['right'] else '!'} {row[use]['route']:9} {row[use]['ratio']:5.2f}"
        for use in ("first", "second")
    ]
    name = f"{row['name']}{' *' if row['held_out'] else ''}"
    figures = f"{1e3 * times['serial']:6.0f} ms {1e3 * times[row['best']]:6.0f} ms"
    return f"{name:22} {row['best']:22} {figures}  {uses[0]:24} {uses[1]}"


def summary(rows):
    """Yield how many are right, of all, of those looked at and of those held out (*)."""
    for title, chosen in (
        ("all", rows),
        ("known", [row for row in rows if not row["held_out"]]),
        ("held out *", [row for row in rows if row["held_out"]]),
    ):
        if not chosen:
            continue
        parts = []
        for use in ("first", "second"):
            mean = statistics.geometric_mean(row[use]["ratio"] for row in chosen)
            parts.append(
                f"{use} use {sum(row[use]['right'] for row in chosen)} of {len(chosen)} right,"
                f" time over the right route's {mean:.2f} (worst {max(row[use]['ratio'] for row in chosen):.2f})"
            )
        yield f"{title}: {'; '.join(parts)}"
    wrong = {use: [row["name"] for row in rows if not row[use]["right"]] for use in ("first", "second")}
    yield f"wrong: first use {', '.join(wrong['first']) or 'none'}; second use {', '.join(wrong['second']) or 'none'}"
    yield f"{os.cpu_count()} CPUs, Python {sys.version.split()[0]}"


if __name__ == "__main__":
    sys.exit(main())

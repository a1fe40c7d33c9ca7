"""What `auto` loses against the best choice made by hand, workload by workload.

    python benchmarks/regret.py [--rounds 5] [--only NAME …] [--json FILE]

The contenders take turns in one process: the list comprehension, ThreadPoolExecutor with 2, 8 and 32 threads, a warm
ProcessPoolExecutor with a chunk size of 1 and of an eighth of the input, joblib as it is and with threads; and `auto`
with a function that it does not know yet (first use), and again (later use). Regret is auto's median over the least
median among the others: 1.00 is as fast as the best of them, whichever that is. `loop` is auto's later use over the
list comprehension. A contender that took more than four times as long as the best in the first round is out. Short
workloads get more rounds, up to `BUDGET` seconds.

The least of eight medians is less than any one of them would be, the more so the noisier the machine: where all are
equally fast and times vary by a fifth, the regret of each is 1.1. So the means are given once more for a choice that is
made beforehand: the best of every second round, compared in the others, and the other way round.
"""

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

from workloads import WORKLOADS, Workload

from parallel_deco import parallel

Run = Callable[[Callable[[Any], Any], Iterable[Any]], list[Any]]

#: How many times as slow as the best one drops out, and the seconds from which on that is worth it.
HOPELESS, WORTH = 4.0, 0.05
#: Dispatching so many items one by one through a pool of the standard library takes minutes.
MANY = 50_000
#: Seconds for which a workload gets more rounds, and how many times as many at most.
BUDGET, MORE = 8.0, 5
#: Seconds of a job from which a ratio to the loop means something; below, what is lost counts.
LONG = 10e-3
#: Bytes of a block that is freed before all. glibc gives memory back to the system beyond twice the largest block that
#: was ever mapped and freed, of each thread's own: what had run before would decide how many threads are the best for
#: 60 results of 1 MB (8 threads 18 ms and 2 threads 29, or both 31; measured). Programs with arrays have freed one.
BLOCK = 20 << 20


def comprehension(function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """Run the plain loop."""
    return [function(item) for item in items]


def chunked(pool: ProcessPoolExecutor, function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """Run in processes, in eight chunks."""
    items = list(items)
    return list(pool.map(function, items, chunksize=max(1, len(items) // 8)))


def contenders() -> dict[str, Run]:
    """Return the choices that somebody could make by hand, with warm pools."""
    found: dict[str, Run] = {"list": comprehension}
    for width in (2, 8, 32):
        threads = ThreadPoolExecutor(width)
        list(threads.map(time.sleep, [1e-3] * 2 * width))
        found[f"threads {width}"] = lambda function, items, pool=threads: list(pool.map(function, items))
    processes = ProcessPoolExecutor(2)
    list(processes.map(abs, range(8)))
    found["processes 1"] = lambda function, items: list(processes.map(function, items))
    found["processes N/8"] = lambda function, items: chunked(processes, function, items)
    try:
        from joblib import Parallel, delayed
    except ImportError:
        return found
    loky, in_threads = Parallel(2), Parallel(2, backend="threading")
    found["joblib"] = lambda function, items: loky(delayed(function)(item) for item in items)
    found["joblib threads"] = lambda function, items: in_threads(delayed(function)(item) for item in items)
    return found


def seconds(run: Callable[[], Any]) -> float:
    """Return how long it takes."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def one_by_one(name: str) -> bool:
    """Whether a contender hands items out one by one."""
    return name not in ("list", "processes N/8")


def compete(workload: Workload, hands: dict[str, Run], rounds: int) -> dict[str, list[float]]:
    """Return the times of all, by rounds; an entry is missing where the contender dropped out."""
    times: dict[str, list[float]] = {name: [] for name in (*hands, "first", "later")}
    count = sum(1 for _ in workload.items())
    out = {name for name in hands if count > MANY and one_by_one(name)}
    number = 0
    while number < rounds:
        began = time.perf_counter()
        known = parallel(workload.function)
        turns: list[tuple[str, Callable[[], Any]]] = [
            (name, lambda run=run: run(workload.function, workload.items()))
            for name, run in hands.items()
            if name not in out
        ]
        turns.insert(number % (len(turns) + 1), ("first", lambda known=known: list(known.map(workload.items()))))
        for name, turn in turns:
            times[name].append(seconds(turn))
            if name == "first":
                list(known.map(workload.items()))
                times["later"].append(seconds(lambda known=known: list(known.map(workload.items()))))
        if number == 0:
            best = min(each[0] for name, each in times.items() if each and name in hands)
            out |= {n for n in hands if times[n] and times[n][0] > HOPELESS * best and times[n][0] > WORTH}
            out.discard("list")
            times = {name: [] for name in times} if rounds > 1 else times
        if number == 1:
            rounds = max(rounds, min(MORE * rounds, int(BUDGET / (time.perf_counter() - began))))
        number += 1
    return {name: each for name, each in times.items() if each}


def medians_of(times: dict[str, list[float]], every: slice = slice(None)) -> dict[str, float]:
    """Return the medians of some rounds."""
    return {name: statistics.median(each[every]) for name, each in times.items() if each[every]}


def beforehand(times: dict[str, list[float]], use: str, names: list[str]) -> float:
    """Return the regret against the contender that was the best in other rounds."""
    halves = [medians_of(times, slice(start, None, 2)) for start in (0, 1)]
    ratios = []
    for chosen, compared in (halves, halves[::-1]):
        best = min((name for name in names if name in chosen), key=chosen.__getitem__, default=None)
        if best in compared and use in compared:
            ratios.append(compared[use] / compared[best])
    return geometric_mean(ratios)


def short(name: str) -> str:
    """Return a contender's name as a column has room for it."""
    return name.replace("threads", "thr").replace("processes", "proc")


def geometric_mean(ratios: Iterable[float]) -> float:
    """Return the mean of ratios."""
    logarithms = [math.log(ratio) for ratio in ratios]
    return math.exp(sum(logarithms) / len(logarithms)) if logarithms else math.nan


def report(workload: Workload, times: dict[str, list[float]], names: list[str]) -> dict[str, Any]:
    """Print a workload's line, and return its figures."""
    medians = medians_of(times)
    best = min(names, key=lambda name: medians.get(name, math.inf))
    figures = {
        "name": workload.name,
        "held_out": workload.held_out,
        "medians": medians,
        "best": best,
        "first": medians["first"] / medians[best],
        "later": medians["later"] / medians[best],
        "loop": medians["later"] / medians["list"],
        "first beforehand": beforehand(times, "first", names),
        "later beforehand": beforehand(times, "later", names),
        "rounds": len(times["list"]),
        "lost": max(0.0, max(medians["first"], medians["later"]) - medians["list"]),
    }
    cells = "".join(f"{1e3 * medians[name]:9.1f}" if name in medians else "        —" for name in names)
    title = workload.name + (" *" if workload.held_out else "")
    print(
        f"{title:18}{cells}{1e3 * medians['first']:9.1f}{1e3 * medians['later']:9.1f}"
        f"   {figures['first']:5.2f} {figures['later']:5.2f} {figures['loop']:5.2f}  {best}",
        flush=True,
    )
    return figures


def summary(title: str, rows: list[dict[str, Any]]) -> None:
    """Print means and worst cases."""
    if not rows:
        return
    parts = []
    for use in ("first", "later"):
        worst = max(rows, key=lambda row: row[use])
        parts.append(f"{use} use {geometric_mean(r[use] for r in rows):.2f} (worst {worst[use]:.2f}, {worst['name']})")
    print(f"{title}: regret on {', on '.join(parts)}")
    first, later = (
        geometric_mean(row[f"{use} beforehand"] for row in rows if not math.isnan(row[f"{use} beforehand"]))
        for use in ("first", "later")
    )
    print(f"{title}: against the best of the other rounds: first use {first:.2f}, later use {later:.2f}")


def against_the_loop(rows: list[dict[str, Any]]) -> None:
    """Print what was lost to the list comprehension."""
    long = [row for row in rows if row["medians"]["list"] >= LONG]
    short = [row for row in rows if row["medians"]["list"] < LONG]
    if long:
        worst = max(long, key=lambda row: row["loop"])
        print(f"against the loop, jobs over 10 ms: worst {worst['loop']:.2f} ({worst['name']})")
    if short:
        worst = max(short, key=lambda row: row["lost"])
        print(f"against the loop, shorter jobs: at most {1e3 * worst['lost']:.2f} ms lost ({worst['name']})")


def main() -> int:
    """Run the workloads that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--json")
    options = parser.parse_args()
    wanted = [workload for workload in WORKLOADS if not options.only or workload.name in options.only]
    unknown = set(options.only) - {workload.name for workload in wanted}
    if unknown:
        parser.error(f"there is no workload {sorted(unknown)[0]!r}")
    bytearray(BLOCK)  # freed at once
    hands = contenders()
    list(parallel(abs, backend="processes").map(range(8)))
    list(parallel(time.sleep, shared=False).map([1e-3] * 64))
    print(f"{'ms':18}{''.join(f'{short(name):>9}' for name in (*hands, 'first', 'later'))}   first later  loop  best")
    rows = [report(workload, compete(workload, hands, options.rounds), [*hands]) for workload in wanted]
    summary("all", rows)
    summary("known", [row for row in rows if not row["held_out"]])
    summary("held out *", [row for row in rows if row["held_out"]])
    against_the_loop(rows)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(rows, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())

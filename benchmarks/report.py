"""Runs the comparison and writes the page of it: every entry of every question, in rotation.

    python -m benchmarks.report [--rounds 3] [--json FILE]       measure, keep, write the page
    python -m benchmarks.report --only NAME … [--rounds 3]       measure some questions, and print what came out
    python -m benchmarks.report --page FILE                      write the page from what was kept

A round goes through all questions, and through the entries of each, beginning with another one each time: what slows
the machine down for a while hits everybody. A pool lives only while it is measured. An entry that took more than ten
seconds is not run again. Figures are medians over all runs.
"""

import argparse
import datetime
import importlib.metadata
import json
import math
import os
import platform
import re
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from parallel_deco._cpus import available_cpus

from .contest import Entry, Group, measure
from .page import write_page
from .questions import GROUPS

ROOT = Path(__file__).resolve().parent.parent
#: Seconds of runs an entry gets in each round, and those from which one run is enough for all rounds.
EACH, LONG = 0.5, 10.0
PACKAGES = (
    "parallel-deco",
    "numpy",
    "scipy",
    "numba",
    "joblib",
    "loky",
    "pebble",
    "mpire",
    "pqdm",
    "distributed",
    "ray",
)


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "processor": processor(),
        "cpus": available_cpus(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": versions,
    }


def processor() -> str:
    """Return the processor's name."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"^model name\s*:\s*(.*)$", text, re.MULTILINE)
    return found.group(1) if found else platform.machine()


def default_path(about: dict[str, Any]) -> Path:
    """Return where the figures of this machine are kept."""
    name = re.sub(r"[^a-z0-9]+", "-", f"{about['processor']} {about['cpus']} cpus".lower()).strip("-")
    return ROOT / "benchmarks" / "results" / f"{name}.json"


def rotated(entries: list[Entry], number: int) -> list[Entry]:
    """Return the entries, beginning with another one in each round."""
    start = number * max(1, len(entries) // 3) % len(entries)
    return entries[start:] + entries[:start]


def one_round(group: Group, number: int, times: dict[str, list[float]], failures: dict[str, str]) -> None:
    """Give each entry of a question its turn."""
    for entry in rotated([*group.entries, *group.measured], number):
        if entry.missing is not None:
            failures[entry.name] = entry.missing
        elif entry.name not in failures and not (times.get(entry.name) and min(times[entry.name]) > LONG):
            try:
                times.setdefault(entry.name, []).extend(measure(entry, EACH))
            except Exception as error:  # a contender that cannot do it is a result too
                failures[entry.name] = f"{type(error).__name__}: {error}".splitlines()[0]
                print(f"  {group.name}: {entry.name}: {failures[entry.name]}", file=sys.stderr)


def run(groups: list[Group], rounds: int) -> dict[str, Any]:
    """Measure, and return what is kept."""
    times: dict[str, dict[str, list[float]]] = {group.name: {} for group in groups}
    failures: dict[str, dict[str, str]] = {group.name: {} for group in groups}
    for number in range(rounds):
        for group in groups:
            began = time.monotonic()
            one_round(group, number, times[group.name], failures[group.name])
            print(f"round {number + 1}, {group.name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return {
        "machine": machine(),
        "rounds": rounds,
        "groups": [kept(g, times[g.name], failures[g.name]) for g in groups],
    }


def kept(group: Group, times: dict[str, list[float]], failures: dict[str, str]) -> dict[str, Any]:
    """Return what is kept of one question."""
    medians = {name: statistics.median(each) for name, each in times.items() if each}
    limit = group.limit.seconds(medians) if group.limit else None
    measured = {entry.name for entry in group.measured}
    return {
        "name": group.name,
        "question": group.question,
        "notes": group.notes,
        "unit": group.unit,
        "per": group.per,
        "limit": {"words": group.limit.words, "seconds": limit} if group.limit and limit else None,
        "medians": {name: rounded(taken) for name, taken in medians.items() if name not in measured},
        "runs": {name: len(each) for name, each in times.items() if each and name not in measured},
        "spread": {name: [rounded(x) for x in quartiles(each)] for name, each in times.items() if name in medians},
        "missing": failures,
    }


def quartiles(times: list[float]) -> tuple[float, float]:
    """Return the lower and the upper quartile."""
    ordered = sorted(times)
    return ordered[len(ordered) // 4], ordered[(3 * len(ordered)) // 4 if len(ordered) > 1 else 0]


def rounded(value: float) -> float:
    """Return four digits: more are noise."""
    return float(f"{value:.4g}") if math.isfinite(value) else value


def show(group: dict[str, Any]) -> None:
    """Print the contenders of a question, the fastest first, and how many times its time each took."""
    word, scale = group["unit"]
    medians = sorted(group["medians"].items(), key=lambda item: item[1])
    print(f"\n{group['question']}")
    for name, seconds in medians:
        print(f"{seconds * scale / group['per']:12.4g} {word} {seconds / medians[0][1]:8.2f}  {name}")
    limit = group["limit"]
    if limit:
        least = limit["seconds"]
        print(f"{least * scale / group['per']:12.4g} {word} {least / medians[0][1]:8.2f}  limit: {limit['words']}")
    for name, reason in group["missing"].items():
        print(f"{'':24} {name}: {reason}")


def main() -> int:
    """Measure or read; write the page, or print some of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to keep the figures")
    parser.add_argument("--page", type=Path, metavar="FILE", help="figures that were kept; nothing is measured")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", metavar="FOLDER", help="where the page goes")
    given = parser.parse_args()
    unknown = set(given.only) - {group.name for group in GROUPS}
    if unknown:
        parser.error(f"there is no question {sorted(unknown)[0]!r}; there are {', '.join(g.name for g in GROUPS)}")
    if given.page is not None:
        path, figures = given.page, json.loads(given.page.read_text())
    else:
        figures = run([group for group in GROUPS if not given.only or group.name in given.only], given.rounds)
        if given.only:
            for group in figures["groups"]:
                show(group)
            return 0
        path = given.json or default_path(figures["machine"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(figures, indent=1) + "\n")
        print(os.path.relpath(path))
    print(os.path.relpath(write_page(figures, path.name, given.out)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Ratios of medians to a base that belongs to the same question, and what became worse since they were kept.

    pytest benchmarks --benchmark-only --ratios-save RUN           one run
    python -m benchmarks.ratios --keep FILE RUN [RUN …]            keep the medians of several runs
    python -m benchmarks.ratios --against FILE RUN [RUN …]         fail when one of ours was slower in every run

On a shared machine single figures double by chance, so one run condemns nobody: what is slower in each is slower.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

__all__ = ["BASES", "TOLERANCE", "Table", "base_of", "compare", "middle", "ratios"]

#: Question, entry, and a number.
Table = dict[str, dict[str, float]]

#: How many times its ratio an entry of this library may take.
TOLERANCE = 2.5

#: What the others of a question are compared with; the first of these that took part.
BASES = (
    "the loop",
    "the function itself",
    "C, -O3 -march=native",
    "the kernel, one thread",
    "ThreadPoolExecutor",
    "ProcessPoolExecutor, forkserver",
)


def base_of(entries: Iterable[str]) -> str | None:
    """Return the entry that the others of its question are compared with."""
    return next((base for base in BASES if base in set(entries)), None)


def ratios(medians: Table) -> Table:
    """Return how many times as long as its question's base each entry took; questions without a base are left out."""
    found: Table = {}
    for question, entries in medians.items():
        base = base_of(entries)
        if base is not None:
            found[question] = {name: round(taken / entries[base], 4) for name, taken in entries.items()}
    return found


def middle(runs: Sequence[Table]) -> Table:
    """Return the median of each entry's ratios, over the runs that it took part in."""
    found: dict[str, dict[str, list[float]]] = {}
    for run in runs:
        for question, entries in run.items():
            for name, ratio in entries.items():
                found.setdefault(question, {}).setdefault(name, []).append(ratio)
    return {
        question: {name: round(statistics.median(each), 4) for name, each in entries.items()}
        for question, entries in found.items()
    }


def compare(kept: Mapping[str, Mapping[str, float]], runs: Sequence[Table], tolerance: float = TOLERANCE) -> list[str]:
    """Return a line for each entry of this library whose ratio grew by more than the tolerance in each of the runs."""
    worse = []
    for question, entries in kept.items():
        for name, ratio in entries.items():
            found = [run[question][name] for run in runs if name in run.get(question, {})]
            ours = name.startswith(("parallel_deco", "the kernel"))
            if ours and found and min(found) > tolerance * ratio:
                now = ", ".join(f"{each:.2f}" for each in found)
                worse.append(f"{question}, {name}: {ratio:.2f} times its base when it was kept, {now} now")
    return worse


def main() -> int:
    """Keep, or compare with what was kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ratios", description=(__doc__ or "").partition("\n")[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--keep", type=Path, metavar="FILE", help="write the medians of the runs")
    what.add_argument("--against", type=Path, metavar="FILE", help="compare the runs with what was kept")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="what --ratios-save wrote")
    options = parser.parse_args()
    runs = [json.loads(run.read_text()) for run in options.runs]
    if options.keep:
        options.keep.write_text(json.dumps(middle(runs), indent=1, sort_keys=True) + "\n")
        return 0
    worse = compare(json.loads(options.against.read_text()), runs)
    print("\n".join(["slower than the ratios that were kept:", *worse] if worse else ["as fast as when it was kept"]))
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())

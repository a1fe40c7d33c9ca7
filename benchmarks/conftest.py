"""Ratios between the entries of a question, kept: seconds of one machine say nothing on another."""

import json
import statistics

from .ratios import Table, ratios


def pytest_addoption(parser):
    """Add what keeps ratios; `python -m benchmarks.ratios` compares them."""
    group = parser.getgroup("ratios", "ratios between the entries of a question")
    group.addoption("--ratios-save", metavar="FILE", help="write how many times as long as the base each entry took")


def pytest_sessionfinish(session):
    """Keep what was measured."""
    save = session.config.getoption("--ratios-save")
    found = getattr(session.config, "_benchmarksession", None)
    if found is None or not save:
        return
    medians: Table = {}
    for bench in found.benchmarks:
        if bench:
            name = bench.name.partition("[")[2].removesuffix("]").removeprefix(f"{bench.group}-")
            medians.setdefault(bench.group, {})[name] = statistics.median(bench.stats.data)
    with open(save, "w") as file:
        json.dump(ratios(medians), file, indent=1, sort_keys=True)
        file.write("\n")

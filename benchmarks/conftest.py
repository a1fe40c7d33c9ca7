"""Ratios to this library's own entries, kept and compared: seconds of one machine say nothing on another."""

import json
import statistics

import pytest

from .ratios import Table, compare, ratios

#: How many times its ratio an entry of this library may take: on a shared machine, single figures double by chance.
TOLERANCE = 2.5


def pytest_addoption(parser):
    """Add what keeps ratios, and compares with those that were kept."""
    group = parser.getgroup("ratios", "ratios between the entries of a question")
    group.addoption("--ratios-save", metavar="FILE", help="write how many times as long as the base each entry took")
    group.addoption("--ratios-compare", metavar="FILE", help=f"fail when a ratio grew more than {TOLERANCE} times")


def pytest_sessionfinish(session):
    """Keep or compare."""
    save, against = (session.config.getoption(f"--ratios-{what}") for what in ("save", "compare"))
    found = getattr(session.config, "_benchmarksession", None)
    if found is None or not (save or against):
        return
    medians: Table = {}
    for bench in found.benchmarks:
        if bench:
            name = bench.name.partition("[")[2].removesuffix("]").removeprefix(f"{bench.group}-")
            medians.setdefault(bench.group, {})[name] = statistics.median(bench.stats.data)
    now = ratios(medians)
    if save:
        with open(save, "w") as file:
            json.dump(now, file, indent=1, sort_keys=True)
            file.write("\n")
    if against:
        with open(against) as file:
            worse = compare(json.load(file), now, TOLERANCE)
        if worse:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            reporter = session.config.pluginmanager.getplugin("terminalreporter")
            reporter.write_line("slower than the ratios that were kept:\n" + "\n".join(worse), red=True)

"""The comparison for people who know pytest-benchmark: every entry of every question, as `python -m benchmarks.report`.

pytest benchmarks --benchmark-only [-k submit] [--ratios-save FILE]
"""

import pytest

from .questions import GROUPS

CASES = [pytest.param(group, entry, id=f"{group.name}-{entry.name}") for group in GROUPS for entry in group.entries]


@pytest.mark.filterwarnings("ignore")  # of the peers
@pytest.mark.parametrize(("group", "entry"), CASES)
def test_entry(benchmark, group, entry):
    """One run is what the question asks for."""
    if entry.missing is not None:
        pytest.skip(entry.missing)
    benchmark.group = group.name
    benchmark.extra_info["question"] = group.question
    benchmark.extra_info["per"] = group.per
    with entry.open() as run:
        benchmark(run)

"""The types that a user's type checker sees, under ``mypy --strict``."""

import importlib.util
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import parallel_deco

pytestmark = pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy is not installed")

ROOT = str(Path(parallel_deco.__file__).resolve().parent.parent)

RIGHT = """
import asyncio
import concurrent.futures
from typing import assert_type

from parallel_deco import Explanation, Future, MapIterator, Measurement, ParallelFunction, config, measure, parallel


@parallel
def bare(x: int, scale: float = 1.0) -> float:
    return x * scale


@parallel(backend="threads", max_workers=2, chunksize=1, buffersize=10)
def optioned(text: str, *, times: int) -> list[str]:
    return [text] * times


class Account:
    start: int = 0

    @parallel
    def total(self, x: int) -> str:
        return str(self.start + x)


assert_type(bare(1), float)
assert_type(bare(1, scale=2.0), float)
assert_type(bare.submit(1), Future[float])
assert_type(bare.submit(1).result(), float)
assert_type(bare.map([1, 2]), MapIterator[float])
assert_type(list(bare.map([1, 2], [0.5, 0.5])), list[float])
assert_type(bare.starmap([(1, 2.0)], ordered=False), MapIterator[float])
assert_type(bare.explain(), Explanation)
assert_type(bare.options(backend="serial")(3), float)
assert_type(bare.__wrapped__(3), float)
assert_type(optioned("a", times=2), list[str])
assert_type(optioned.submit("a", times=2), Future[list[str]])
assert_type(Account().total(1), str)
assert_type(Account().total.submit(1), Future[str])
assert_type(list(Account().total.map([1])), list[str])
assert_type(measure(bare, 1), Measurement[float])

future: concurrent.futures.Future[float] = bare.submit(1)
doubled: ParallelFunction[[int], int] = parallel(lambda x: 2 * x)


async def main() -> None:
    assert_type(await bare.submit(1), float)
    assert_type(await asyncio.wrap_future(bare.submit(1)), float)


with config(backend="threads", max_workers=2):
    pass
"""

WRONG = [
    ('bare.submit("text")', "arg-type"),
    ('bare("text")', "arg-type"),
    ("bare.submit()", "call-arg"),
    ("bare.submit(1, missing=2)", "call-arg"),
    ('optioned.submit("a", times="b")', "arg-type"),
    ('optioned("a")', "call-arg"),
    ('Account().total.submit("text")', "arg-type"),
    ("parallel(bare, workers=3)", "call-overload"),
    ("parallel(3)", "call-overload"),
    ('config(backend="threads", chunksize=2)', "call-arg"),
    ("text: str = bare.submit(1).result()", "assignment"),
    ("[x.upper() for x in bare.map([1])]", "attr-defined"),
]


@pytest.fixture(scope="module")
def check(tmp_path_factory):
    """Run mypy --strict over a piece of code; return its exit status and report."""
    cache = tmp_path_factory.mktemp("mypy_cache")

    def run(code):
        folder = tmp_path_factory.mktemp("snippet")
        (folder / "snippet.py").write_text(textwrap.dedent(code))
        environment = {**os.environ, "MYPYPATH": ROOT if Path(ROOT, "pyproject.toml").exists() else ""}
        command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", f"--cache-dir={cache}"]
        done = subprocess.run(
            [*command, "--config-file=", "snippet.py"],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=110,
        )
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.mark.timeout(300)
def test_types_are_known_when_used_rightly(check):
    """Futures, iterators, methods and options have the function's own types."""
    assert check(RIGHT) == (0, "")


@pytest.mark.timeout(300)
def test_types_are_refused_when_used_wrongly(check):
    """Each wrong use is an error, on its line."""
    status, report = check(RIGHT + "\n" + "\n".join(line for line, _ in WRONG) + "\n")
    first = len(textwrap.dedent(RIGHT).splitlines()) + 2
    found = {
        int(line.split(":")[1]): line.rpartition("[")[2].rstrip("]")
        for line in report.splitlines()
        if ": error:" in line
    }
    assert status == 1
    expected = {first + offset: code for offset, (_, code) in enumerate(WRONG)}
    assert found == expected, report

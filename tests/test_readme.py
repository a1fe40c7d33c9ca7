"""Every snippet of the README runs, in order, as one script without a `__main__` guard; and so does the guide."""

import functools
import re
import subprocess
import sys
from concurrent.futures import Future
from pathlib import Path

import pytest

from parallel_deco import parallel

README = Path(__file__).parent.parent / "README.md"
GUIDE = README.parent / "docs" / "guide.md"


def snippets(language: str, page: Path = README) -> list[str]:
    """Return a page's code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def run(snippets: list[str], folder: Path) -> list[str]:
    """Run snippets, one after the other, as one script; return the lines that they print."""
    script = folder / "script.py"
    script.write_text("\n".join(snippets))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=100, cwd=folder)
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_python_snippets_run_when_pasted_into_a_script(tmp_path: Path) -> None:
    """The Python snippets, one after the other, print what the README says."""
    lines = run(snippets("python"), tmp_path)
    assert lines[:2] == ["Hello world", "['Hello', 'world']"]
    assert lines[2].startswith("echo → threads")
    assert lines[-1] == "664579"


def test_guide_runs_when_pasted_into_a_script(tmp_path: Path) -> None:
    """Streams of random numbers of their own give the same on every route."""
    same = """
from parallel_deco import config
for route in ("serial", "threads", "processes"):
    with config(backend=route):
        assert means == list(mean_of_draws.map(np.random.SeedSequence(1).spawn(100)))
"""
    (mean,) = run([*snippets("python", GUIDE), same], tmp_path)
    assert abs(float(mean)) < 0.01


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("list(parallel(f).map(xs, ys))", [5, 7, 9]),
        ("parallel(f).submit(x)", 1),
        ("list(parallel(f).starmap(pairs))", [5, 7, 9]),
        ("parallel(f).map(xs, ordered=False)", [1, 2, 3]),
        ("list(parallel(f, max_workers=4).map(xs))", [1, 2, 3]),
        ("parallel(functools.partial(f, scale=2)).map(xs)", [2, 4, 6]),
    ],
)
def test_lines_of_the_guide_work(line: str, expected: object) -> None:
    """What stands there for the lines of other libraries gives what those do."""
    assert f"`{line}`" in GUIDE.read_text()
    xs, ys = [1, 2, 3], [4, 5, 6]
    names = {"parallel": parallel, "functools": functools, "xs": xs, "ys": ys, "x": 1}
    names |= {"f": lambda *numbers, scale=1: scale * sum(numbers), "pairs": [*zip(xs, ys, strict=True)]}
    found = eval(line, names)
    assert (found.result() if isinstance(found, Future) else sorted(found)) == expected


def test_commands_are_those_that_ci_runs() -> None:
    """The README's test command is the very one in .ci/run."""
    install, tests = (block.strip() for block in snippets("sh"))
    assert install.endswith("parallel-deco demo")
    ci = README.parent / ".ci" / "run"
    assert "README.md" in ci.read_text()
    assert tests.endswith(".venv/bin/pytest")

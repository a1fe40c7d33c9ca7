"""Every snippet of the README runs, in order, as one script without a `__main__` guard."""

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def snippets(language: str) -> list[str]:
    """Return the README's code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)


def test_python_snippets_run_when_pasted_into_a_script(tmp_path: Path) -> None:
    """The Python snippets, one after the other, print what the README says."""
    script = tmp_path / "readme.py"
    script.write_text("\n".join(snippets("python")))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=100, cwd=tmp_path)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[:2] == ["Hello world", "['Hello', 'world']"]
    assert lines[2].startswith("echo → threads")
    assert lines[-1] == "664579"


def test_commands_are_those_that_ci_runs() -> None:
    """The README's test command is the very one in .ci/run."""
    install, tests = (block.strip() for block in snippets("sh"))
    assert install.endswith("parallel-deco demo")
    ci = README.parent / ".ci" / "run"
    assert "README.md" in ci.read_text()
    assert tests.endswith(".venv/bin/pytest")

"""The command line, as a user meets it: `measure` and `doctor`, wrong arguments, exit statuses."""

import json
import os
import shlex
import subprocess
import sys

import pytest

import parallel_deco
from parallel_deco import _doctor, _sampler
from parallel_deco._cpus import gil_enabled
from parallel_deco._texts import bytes_text, seconds_text

MODULE = """
import time

SECONDS = 0.02

def nap(seconds=SECONDS):
    time.sleep(seconds)

def count(n, step=1):
    return sum(range(0, n, step))

def fail():
    raise LookupError("nothing there")

def lazily():
    yield 1

async def later():
    pass

class Tools:
    @staticmethod
    def nap():
        time.sleep(SECONDS)
"""


@pytest.fixture
def command(tmp_path, script_environment):
    """Run ``python -m parallel_deco`` in a directory with a module; return exit status, output, errors."""
    (tmp_path / "mine.py").write_text(MODULE)

    def run(*arguments):
        line = [sys.executable, "-m", "parallel_deco", *arguments]
        done = subprocess.run(
            line, cwd=tmp_path, env=script_environment, capture_output=True, text=True, timeout=60, check=False
        )
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.mark.parametrize(
    ("arguments", "verdict"),
    [
        (["mine:nap"], "it waits: threads wait together"),
        (["mine:nap", "--args", "SECONDS / 2"], "it waits: threads wait together"),
        (["mine:nap", "--args", "seconds=0.01"], "it waits: threads wait together"),
        (["mine:Tools.nap"], "it waits: threads wait together"),
        (["mine:count", "--args", "10**6"], "it holds the GIL"),
        (["mine:count", "--args", "10, step=2"], "it holds the GIL"),
        (["zlib:crc32", "--args", "bytes(10**7)"], "it releases the GIL"),
    ],
)
@pytest.mark.skipif(not gil_enabled(), reason="there is no GIL to hold")
def test_verdict_is_right_when_a_function_is_measured(command, arguments, verdict):
    """Functions of a module in this directory and of the standard library, with arguments as in a call."""
    status, out, errors = command("measure", *arguments)
    assert (status, errors) == (0, "")
    assert out.startswith(f"{arguments[0]}: ")
    assert verdict in out.splitlines()[-1]


def test_readings_are_json_when_asked_for(command):
    """For programs: seconds per call, and how many calls and looks they rest on."""
    status, out, _ = command("measure", "mine:nap", "--json")
    seen = json.loads(out)
    assert status == 0
    assert set(seen) == {"wall", "cpu", "gil", "waiting", "calls", "samples", "confident"}
    assert seen["confident"]
    assert seen["wall"] >= seen["waiting"] > 0.9 * 0.02
    assert seen["gil"] < 0.3 * seen["wall"]  # a few looks, on a busy machine


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["mine"], "'mine' does not name a function: write module:function"),
        (["mine:"], "does not name a function"),
        (["mine.py:nap"], "is a file; name its module: mine:nap"),
        (["nowhere:nap"], "cannot import 'nowhere'"),
        (["mine:nape"], "has no attribute 'nape'"),
        (["mine:SECONDS"], "cannot be called"),
        (["mine:nap", "--args", "1 2"], "is no list of arguments"),
        (["mine:nap", "--args", "1) + (2"], "is no list of arguments"),
        (["mine:nap", "--args", "SECOND"], "NameError: name 'SECOND' is not defined"),
    ],
)
def test_mistake_is_named_when_the_command_line_is_wrong(command, arguments, words):
    """Exit status 2 and one line, no traceback."""
    status, out, errors = command("measure", *arguments)
    assert (status, out) == (2, "")
    assert words in errors
    assert errors.count("\n") == 1


def test_traceback_is_shown_when_the_function_raises(command):
    """It is the user's mistake, so they see where."""
    status, out, errors = command("measure", "mine:fail")
    assert (status, out) == (1, "")
    assert "LookupError: nothing there" in errors


def test_doctor_finds_nothing_wrong_when_all_is_well(command):
    """It names the CPUs, the GIL, the sampler, the costs, and ends with a sentence."""
    status, out, errors = command("doctor")
    topics = {line[2:].split(maxsplit=1)[0] for line in out.splitlines()[:-1]}
    assert {"python", "system", "packages", "CPUs", "GIL", "sampler", "threads", "processes"} <= topics
    assert "not measured" not in out
    assert (status, errors, out.splitlines()[-1]) == (0, "", "all is well")
    if hasattr(os, "sched_getaffinity"):
        assert f"{len(os.sched_getaffinity(0))} allowed by the affinity" in out


@pytest.mark.skipif(not gil_enabled(), reason="it is not needed without a GIL")
def test_doctor_says_so_when_the_sampler_does_not_work(monkeypatch):
    """A finding that is wrong says what follows from it."""
    monkeypatch.setattr(_sampler, "works", False)
    wrong = [finding for finding in _doctor.examine() if finding.wrong]
    assert [finding.topic for finding in wrong] == ["sampler"]
    assert "all computing counts as holding it" in wrong[0].text


def test_version_is_the_packages(command):
    """As every command has it."""
    assert command("--version") == (0, f"parallel-deco {parallel_deco.__version__}\n", "")


def test_file_is_refused_when_it_cannot_be_written_and_before_anything_ran(command):
    """Nobody waits for figures that are lost then."""
    status, out, errors = command("demo", "--json", os.path.join("nowhere", "figures.json"))
    assert (status, out) == (2, "")
    assert "nowhere" in errors


@pytest.mark.parametrize("name", ["..mine:nap", ".mine:nap"])
def test_measure_says_so_when_a_module_is_relative(command, name):
    """There is nothing that it could be relative to."""
    status, out, errors = command("measure", name)
    assert (status, out) == (2, "")
    assert errors.startswith(f"parallel-deco: cannot import {name.partition(':')[0]!r}")


def test_measure_says_so_when_the_function_exits(command):
    """Which is no measurement."""
    status, out, errors = command("measure", "sys:exit")
    assert (status, out) == (1, "")
    assert "sys:exit raised" in errors


@pytest.mark.skipif(os.name == "nt", reason="a shell of Unix")
def test_command_ends_in_silence_when_nobody_reads_on(tmp_path, script_environment):
    """As others in a pipe before `head`."""
    line = f"{shlex.quote(sys.executable)} -m parallel_deco doctor | head -n 1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        cwd=tmp_path,
        env=script_environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1


def test_doctor_names_what_the_environment_overrides(command, script_environment):
    """What is impossible there is wrong, for nothing runs; what is possible is only said."""
    script_environment["PARALLEL_DECO_MAX_WORKERS"] = "1"
    assert "PARALLEL_DECO_MAX_WORKERS=1 takes the place of every function's own" in command("doctor")[1]
    script_environment["PARALLEL_DECO_BACKEND"] = "nowhere"
    status, out, _ = command("doctor")
    assert status == 1
    assert "! settings" in out


@pytest.mark.parametrize(("name", "kind"), [("lazily", "a generator function"), ("later", "a coroutine function")])
def test_measure_refuses_what_runs_later(command, name, kind):
    """A call of it computes nothing, and says nothing."""
    status, _, errors = command("measure", f"mine:{name}")
    assert status == 2
    assert f"{name} is {kind}, which measure cannot run" in errors


def test_measure_calls_once_when_asked_to(command):
    """Else it calls again, with the same arguments: an iterator would be empty from the second time on."""
    assert "one call" in command("measure", "builtins:sum", "--args", "iter(range(10**5))", "--once")[1]
    assert "with the same arguments" in command("measure", "builtins:abs", "--args", "-1")[1]


@pytest.mark.parametrize("lines", ["1 / 0", "raise SystemExit(5)", "def broken(:"])
def test_measure_says_so_when_the_module_cannot_be_imported(tmp_path, command, lines):
    """One line, whatever the module does."""
    (tmp_path / "fails_at_import.py").write_text(lines + "\n")
    status, _, errors = command("measure", "fails_at_import:f")
    assert status == 2
    assert errors.startswith("parallel-deco: cannot import 'fails_at_import'")
    assert errors.count("\n") == 1


def test_output_goes_on_when_a_stream_cannot_write_it(command, script_environment):
    """An arrow that the terminal's encoding has not is no reason to end."""
    script_environment["PYTHONIOENCODING"] = "ascii"
    status, out, errors = command("measure", "mine:nap")
    assert (status, errors) == (0, "")
    assert "? it waits" in out


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.9996, "1 s"),
        (9.996e-4, "1 ms"),
        (1234.5, "1,234 s"),
        (86400, "86,400 s"),
        (0.0123, "12.3 ms"),
        (2e-9, "2 ns"),
    ],
)
def test_times_are_never_powers_of_ten_when_shown(seconds, text):
    """Three digits, or all before the point."""
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(999_999, "1 MB"), (1e15, "1,000 TB"), (512, "512 bytes")])
def test_sizes_are_never_powers_of_ten_when_shown(count, text):
    """In the same way."""
    assert bytes_text(count) == text

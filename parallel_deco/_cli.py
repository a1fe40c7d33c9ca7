"""The command line: ``parallel-deco demo``, ``measure`` and ``doctor``, also ``python -m parallel_deco …``."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from parallel_deco import __version__
from parallel_deco._errors import InvalidOptionError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Instead of the program's own.

    Returns
    -------
    int
        The exit status: 0; 1 when a result of the demo was not the plain loop's, the doctor found something, or the
        measured function raised; 2 for a wrong argument or a file that cannot be written; 130 after Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):  # what it cannot write is no reason to end
        with suppress(AttributeError, ValueError):  # it is no file, or closed
            if stream.errors == "strict":
                stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    given = _parser().parse_args(arguments)
    try:
        return int(given.command(given))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever reads has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains at its end
        return 0
    except (OSError, InvalidOptionError) as error:
        print(f"parallel-deco: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="parallel-deco", description="Runs functions in parallel by measuring them.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    demo = commands.add_parser("demo", help="run four functions and show the route that each takes")
    demo.add_argument("--seconds", type=_duration, default=1.0, help="how long echo sleeps (default: 1)")
    demo.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file")
    demo.add_argument("--picture", type=Path, metavar="FILE.png", help="draw the Mandelbrot set that was computed")
    demo.set_defaults(command=_demo)
    about = "call a function and say whether it waits, computes, holds the GIL"
    again = (
        "A short call is made again, up to a million times, with the same arguments, until 0.1 s have been looked at."
    )
    measure = commands.add_parser("measure", help=about, description=f"{about[0].upper()}{about[1:]}. {again}")
    measure.add_argument("function", metavar="module:function")
    which = "arguments, as they stand in a call: expressions, with the names of the function's module"
    measure.add_argument("--args", default="", metavar="'1, key=2'", help=which)
    measure.add_argument("--once", action="store_true", help="call it once, however short that is")
    measure.add_argument("--json", action="store_true", help="print the readings as JSON")
    measure.set_defaults(command=_measure)
    doctor = commands.add_parser("doctor", help="show the machine as the library sees it, and what is wrong")
    doctor.set_defaults(command=_doctor)
    return parser


def _duration(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds") from None
    if not 0 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 3600 seconds")
    return seconds


def _demo(given: argparse.Namespace) -> int:
    from tqdm import tqdm

    from parallel_deco._demo import jobs, run, write_picture

    for file in filter(None, (given.json, given.picture)):
        with file.open("ab"):  # or it would turn out after all has run
            pass
    outcomes = []
    for job in jobs(given.seconds):
        with tqdm(total=2 * job.rounds, desc=job.name, leave=False, disable=None, file=sys.stderr) as bar:
            outcome, results = run(job, bar.update)
        print(_report(outcome), flush=True)
        outcomes.append(outcome)
        if job.name == "kernel" and given.picture is not None:
            write_picture(results, given.picture)
            print(f"        drawn in {given.picture}\n")
    if given.json is not None:
        given.json.write_text(json.dumps([outcome.as_dict() for outcome in outcomes], indent=2) + "\n")
    return 0 if all(outcome.same for outcome in outcomes) else 1


def _measure(given: argparse.Namespace) -> int:
    import traceback

    from parallel_deco._trial import arguments, find, report, run

    function = find(given.function)
    args, kwargs = arguments(given.args, function)
    try:
        seen, calls = run(function, args, kwargs, once=given.once)
    except (Exception, SystemExit) as error:
        own = error.__traceback__
        while own is not None and own.tb_frame.f_globals.get("__name__", "").startswith("parallel_deco."):
            own = own.tb_next  # the function's own frames, if it got so far
        traceback.print_exception(error.with_traceback(own))
        print(f"parallel-deco: {given.function} raised, so there is nothing to tell", file=sys.stderr)
        return 1
    if given.json:
        names = ("wall", "cpu", "gil", "waiting")
        readings = {name: None if (value := getattr(seen, name)) != value else value / calls for name in names}
        print(json.dumps({**readings, "calls": calls, "samples": seen.samples, "confident": seen.confident}))
    else:
        print("\n".join(report(given.function, seen, calls)))
    return 0


def _doctor(given: argparse.Namespace) -> int:
    from parallel_deco._doctor import examine

    wrong = 0
    for finding in examine():
        print(f"{'!' if finding.wrong else ' '} {finding.topic:10} {finding.text}", flush=True)
        wrong += finding.wrong
    print("all is well" if not wrong else f"{wrong} of these cost speed or are wrong (!)")
    return 1 if wrong else 0


def _report(outcome: Any) -> str:
    from parallel_deco._texts import seconds_text

    figures = (
        f"loop {seconds_text(outcome.loop)}, parallel {seconds_text(outcome.parallel)}: "
        f"{outcome.ratio:.2f} times as fast (first run {seconds_text(outcome.first)})"
    )
    wrong = "" if outcome.same else "\n        THE RESULTS ARE NOT THE PLAIN LOOP'S"
    return f"{outcome.name:7} → {outcome.route}    {outcome.what}\n        {outcome.reason}\n        {figures}{wrong}\n"

"""What is said of a worker that died: which item it was at, and how it ended."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from parallel_deco._died import WorkerDied
from parallel_deco._errors import ItemTimeoutError, name_of
from parallel_deco._records import NamedTuple
from parallel_deco.backends.link import Link
from parallel_deco.backends.slot import FINISHED, LOADING, SENDING, SEVERAL
from parallel_deco.backends.task import Task

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
else:
    import _signal  # `signal` makes enumerations, for 1 ms

__all__ = ["OUTSIDE", "at_work", "did_not_start", "pickling_limit", "verdict"]

#: In the place of a position: between a batch's arrival and its first item, or between its last and its answer.
OUTSIDE = -1
#: Seconds that unpickling a function and a batch's arguments, or pickling its results, may take where items have a
#: shorter timeout: it may import a large library.
PICKLING = 60.0


def at_work(link: Link) -> int | None:
    """Return the item that a worker is at, counted in its first piece, or OUTSIDE; None when it is at none of them.

    SEVERAL where it is at more than one.
    """
    batch, position = link.slot.words
    if batch != link.batches + 1 or position == SENDING:
        return None
    return OUTSIDE if position in (LOADING, FINISHED) else int(position)


class Verdict(NamedTuple):
    """Who is to blame for the end of a worker.

    Parameters
    ----------
    position : int or None
        The item, counted in the worker's first piece; None where none is.
    error : callable
        Makes the error for it, of the link, the task and a position in the batch.
    stuck : bool
        Some item is to blame, or its argument or result, and it is not known which.
    """

    position: int | None
    error: Callable[[Link, Task, int], BaseException]
    stuck: bool = False


def verdict(link: Link) -> Verdict:
    """Return who is to blame, of a worker that is gone; before its work is given to others."""
    at = at_work(link)
    position = None if at in (OUTSIDE, SEVERAL) else at
    if link.overdue is None:  # one of several: alone, it shows which
        return Verdict(None if link.blameless else position, _died, stuck=at == SEVERAL and not link.blameless)
    if link.overdue != (link.batches, at):  # it was killed for an item that ended just then; not the next one's fault
        return Verdict(None, _died)
    return Verdict(None, _was_stuck, stuck=True) if position is None else Verdict(position, _took_too_long)


def _died(link: Link, task: Task, position: int) -> WorkerDied:
    """Return the error for the item under which a worker died."""
    code = _exit_code(link)
    name = name_of(task.batch.function)
    process = f"worker process {link.pid}" if link.pid else "a worker process that was starting"
    message = f"{process} {_how(code)} while it ran item {task.batch.first + position} of {name}."
    if code == -_signal.SIGKILL:
        message += " Something killed it from outside: perhaps the system was out of memory."
    elif code is None or code < 0:
        message += " The others go on. To see why, run that item alone, with backend='serial' in a program of its own."
    report = _crash_report(link.slot.report())
    return WorkerDied(f"{message}\n{report}" if report else message, code)


def did_not_start(link: Link, task: Task, position: int) -> WorkerDied:
    """Return the error for an item that nobody runs, for no worker gets ready; the link is the last that did not."""
    code = _exit_code(link)
    return WorkerDied(
        f"no worker process starts that could run item {task.batch.first + position} of {name_of(task.batch.function)}:"
        f" one after the other {_how(code)} before it was ready. They are started with sys.executable,"
        f" {sys.executable!r}",
        code,
    )


def _took_too_long(link: Link, task: Task, position: int) -> ItemTimeoutError:
    """Return the error for the item for which a worker was killed at its deadline."""
    return ItemTimeoutError(
        f"item {task.batch.first + position} of {name_of(task.batch.function)} took longer than its timeout of"
        f" {task.batch.timeout} s; its worker process {link.pid} was killed"
    )


def pickling_limit(timeout: float | None) -> float:
    """Return the seconds that a worker may be outside of items with that timeout."""
    return max(PICKLING, timeout or 0.0)


def _was_stuck(link: Link, task: Task, position: int) -> ItemTimeoutError:
    """Return the error for the item over whose function, argument or result a worker was killed."""
    return ItemTimeoutError(
        f"{name_of(task.batch.function)} or the argument of its item {task.batch.first + position} could not be"
        f" unpickled, or the result not be pickled, in {pickling_limit(task.batch.timeout):g} s;"
        f" its worker process {link.pid} was killed; make it smaller, or stay in this process with backend='threads'"
    )


def _crash_report(report: str) -> str:
    """Return what the fault handler wrote, down to where the user's code begins."""
    lines = report.strip().splitlines()
    ours = [number for number, line in enumerate(lines) if "backends/batch.py" in line]
    return "\n".join(lines[: ours[0]] if ours else lines)


def _exit_code(link: Link) -> int | None:
    status = link.status
    return None if status is None or status < 0 else os.waitstatus_to_exitcode(status)


def _how(code: int | None) -> str:
    if code is None:
        return "died"
    if code >= 0:
        return f"ended itself with exit code {code}"
    names = [name for name, value in vars(_signal).items() if value == -code and name.startswith("SIG")]
    return f"was ended by {min(names)}" if names else f"was ended by signal {-code}"

"""The options of a parallel function, and what overrides them: the environment and `config`."""

from __future__ import annotations

import os
from collections import namedtuple
from contextlib import ContextDecorator
from contextvars import ContextVar
from math import inf
from operator import index

from parallel_deco._callables import RUNS_LATER
from parallel_deco._errors import InvalidOptionError, InvalidTypeError, name_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NamedTuple

__all__ = ["BACKENDS", "ENVIRONMENT", "Options", "check_flag", "config", "environment"]

COUNTS = ("max_workers", "chunksize", "buffersize")
BACKENDS = ("auto", "serial", "threads", "processes")
#: Seconds: thirty years; longer ones are no timeouts, and some clocks cannot add them.
LONGEST = 1e9
ENVIRONMENT = {"backend": "PARALLEL_DECO_BACKEND", "max_workers": "PARALLEL_DECO_MAX_WORKERS"}
_KEYS = [getattr(os.environ, "encodekey", str)(name) for name in ENVIRONMENT.values()]


if TYPE_CHECKING:

    class _Fields(NamedTuple):
        backend: str | Callable[[Any], str] = "auto"
        max_workers: int | None = None
        chunksize: int | None = None
        buffersize: int | None = None
        shared: bool | None = None
        timeout: float | None = None

else:  # `typing` takes as long to import as all that is needed to decorate
    _Fields = namedtuple(
        "_Fields",
        ("backend", "max_workers", "chunksize", "buffersize", "shared", "timeout"),
        defaults=("auto", None, None, None, None, None),
    )


class Options(_Fields):
    """What the user asked for; checked when made.

    Parameters
    ----------
    backend : {"auto", "serial", "threads", "processes"} or callable
    max_workers : int or None
        The most threads or processes; None leaves it to measurement.
    chunksize : int or None
        Items in a batch; None leaves it to measurement.
    buffersize : int or None
        The most items in flight or waiting to be taken; None leaves it to measurement.
    shared : bool or None
        Whether the function must share memory with the caller; None reads its code.
    timeout : float or None
        Seconds that each item may take elsewhere; None: as long as it likes.
    """

    __slots__ = ()

    def __new__(cls, *given: Any, **named: Any) -> Options:
        """Check the values."""
        self = super().__new__(cls, *given, **named)
        self._check()
        for name in COUNTS:
            count = getattr(self, name)
            if count is not None and type(count) is not int:  # one of NumPy's
                self = self.changed(**{name: index(count)})
        if type(self.timeout) not in (float, int, type(None)):
            self = self.changed(timeout=float(self.timeout))  # type: ignore[arg-type]
        return self

    def __hash__(self) -> int:
        """A policy of the user's need not have one."""
        backend = self.backend if type(self.backend) is str else id(self.backend)
        return hash((backend, *self[1:]))

    def _check(self) -> None:
        if not callable(self.backend):
            check_backend(self.backend, "backend")
        if self.shared is not None and type(self.shared) is not bool:
            raise InvalidTypeError(f"shared must be True, False or None, not {self.shared!r}")
        if self.shared and self.backend == "processes":
            raise InvalidOptionError("shared=True keeps the work in this process; it contradicts backend='processes'")
        for name in COUNTS:
            check_count(getattr(self, name), name)
        _check_seconds(self.timeout, "timeout")
        if self.timeout is not None and self.backend == "serial":
            raise InvalidOptionError(
                f"timeout={self.timeout!r} cannot be kept with backend='serial', for nothing interrupts the caller's"
                " thread; choose 'auto', 'processes' or 'threads', or leave the timeout out"
            )

    def changed(self, **changes: Any) -> Options:
        """Return a copy with some options changed; the others stay.

        Raises
        ------
        InvalidTypeError
            An option that does not exist.
        """
        unknown = sorted(changes.keys() - set(self._fields))
        if unknown:
            raise InvalidTypeError(f"there is no option {unknown[0]!r}; options are {', '.join(self._fields)}")
        return Options(**{**self._asdict(), **changes})

    @property
    def chooses(self) -> bool:
        """Whether the route is chosen while it runs, by `auto` or by the user's policy."""
        return self.backend == "auto" or not isinstance(self.backend, str)

    def in_force(self) -> Options:
        """Return the options as they apply here and now, after the environment and then `config` overrode them."""
        overrides = environment()
        block = _config.get()
        if block:
            overrides = {**overrides, **block[0]}
        if not overrides:
            return self
        if self.shared and overrides.get("backend") == "processes":
            source = (
                "config" if block and "backend" in block[0] else f"the environment variable {ENVIRONMENT['backend']}"
            )
            raise InvalidOptionError(
                f"{source} says backend='processes', and a function with shared=True, which keeps its work in this"
                " process, cannot obey; leave that function out, or choose another backend"
            )
        # A program is run as a loop to be looked at, in a debugger perhaps: there, no time is too long.
        return self.changed(**{"timeout": None, **overrides} if overrides.get("backend") == "serial" else overrides)


def check_backend(value: object, name: str) -> None:
    """Raise unless the value names a backend."""
    if not isinstance(value, str):
        raise InvalidTypeError(f"{name} must be one of {_names()}, not {type(value).__name__} {value!r}")
    if value not in BACKENDS:
        raise InvalidOptionError(f"{name} {value!r} is unknown; choose one of {_names()}")


def check_answer(value: object, name: str) -> None:
    """Raise unless a policy's answer is a route, or "auto" for the one that was proposed to it."""
    if value not in BACKENDS:
        raise InvalidOptionError(f"the policy {name} returned {value!r}; it must return one of {_names()}")


def check_count(value: object, name: str) -> None:
    """Raise unless the value is None or a whole number of at least 1."""
    if value is None:
        return
    try:
        count = None if isinstance(value, bool) else index(value)  # type: ignore[arg-type]
    except TypeError:
        count = None
    if count is None:
        raise InvalidTypeError(f"{name} must be a whole number or None, not {type(value).__name__} {value!r}")
    if count < 1:
        nothing = "unset" if name.startswith("the environment") else "None"
        raise InvalidOptionError(f"{name} must be at least 1, or {nothing} to let it be measured; got {value}")


def check_flag(value: object, name: str) -> None:
    """Raise for a text, which would be true whatever it says."""
    if isinstance(value, str | bytes):
        raise InvalidTypeError(f"{name} must be True or False, not {value!r}")


def _check_seconds(value: object, name: str) -> None:
    """Raise unless the value is None or a number of seconds above 0."""
    if value is None:
        return
    try:
        number = not isinstance(value, bool | str | bytes | bytearray) and not getattr(value, "imag", 0)
        seconds = float(value) if number else None  # type: ignore[arg-type]
    except (TypeError, ValueError):
        seconds = None
    except OverflowError:
        seconds = inf
    if seconds is None:
        raise InvalidTypeError(f"{name} must be a number of seconds or None, not {type(value).__name__} {value!r}")
    if not 0 < seconds <= LONGEST:
        raise InvalidOptionError(f"{name} must be more than 0 seconds and at most {LONGEST:g}, or None; got {value}")


def _names() -> str:
    return ", ".join(repr(name) for name in BACKENDS)


def environment() -> dict[str, Any]:
    """Return what the environment overrides, by option; raise for what no decorator would take either."""
    # The environment's own dictionary, where it has one: to ask os.environ costs 1 µs for each name.
    names = getattr(os.environ, "_data", os.environ)
    if names.keys().isdisjoint(_KEYS):
        return {}
    overrides: dict[str, Any] = {}
    backend = os.environ.get(ENVIRONMENT["backend"])
    if backend:
        check_backend(backend, f"the environment variable {ENVIRONMENT['backend']}:")
        overrides["backend"] = backend
    width = os.environ.get(ENVIRONMENT["max_workers"])
    if width:
        name = f"the environment variable {ENVIRONMENT['max_workers']}"
        try:
            overrides["max_workers"] = int(width)
        except ValueError:
            raise InvalidOptionError(f"{name} must be a whole number, got {width!r}") from None
        check_count(overrides["max_workers"], name)
    return overrides


# What the blocks that are entered override, the innermost last, each with what was in force before it.
_config: ContextVar[tuple[dict[str, Any], Any] | None] = ContextVar("parallel_deco.config", default=None)


class config(ContextDecorator):  # as `contextlib.suppress` and others that stand after `with`
    """Override options of every parallel function for the length of a block.

    Parameters
    ----------
    backend : {"auto", "serial", "threads", "processes"}, optional
        Takes the place of every function's own.
    max_workers : int, optional
        Takes the place of every function's own.

    Raises
    ------
    InvalidOptionError, InvalidTypeError
        A value that no decorator would take either.

    Notes
    -----
    It holds for the context (`contextvars`) that enters the block, so for this thread or task and for the parallel
    work started from it. An inner block overrides an outer one; every block overrides the environment variables
    ``PARALLEL_DECO_BACKEND`` and ``PARALLEL_DECO_MAX_WORKERS``, and these override the decorator. Where one of them
    says "serial", timeouts are not kept: nothing interrupts the caller's thread. One object can be entered many times,
    from several threads too, and can decorate a function.

    Examples
    --------
    >>> from parallel_deco import config, parallel
    >>> double = parallel(lambda x: 2 * x)
    >>> with config(backend="serial"):
    ...     list(double.map([1, 2]))
    [2, 4]
    """

    def __init__(self, *, backend: str | None = None, max_workers: int | None = None) -> None:
        if backend is not None:
            check_backend(backend, "backend")
        check_count(max_workers, "max_workers")
        given = {"backend": backend, "max_workers": max_workers}
        self._given = {name: value for name, value in given.items() if value is not None}

    def __call__(self, function: Any) -> Any:
        """Decorate a function: what it calls is in the block."""
        if getattr(getattr(function, "__code__", None), "co_flags", 0) & RUNS_LATER:
            raise InvalidTypeError(
                f"config holds while {name_of(function)} is called, and a coroutine or generator runs later; write"
                " `with config(...):` inside it"
            )
        return super().__call__(function)

    def __enter__(self) -> None:
        before = _config.get()
        _config.set(({**(before[0] if before else {}), **self._given}, before))

    def __exit__(self, *_: object) -> None:
        entered = _config.get()
        _config.set(entered[1] if entered else None)


config.__module__ = "parallel_deco"

"""What a program has registered in the standard library as plain values: dialects of `csv`, names of log levels."""

from __future__ import annotations

import sys

from parallel_deco.backends.imports import once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    #: A dialect's parts by its name, and pairs of a level's number and name; None of a module that is not used.
    Told = tuple[dict[str, dict[str, Any]] | None, list[tuple[int, str]] | None]

__all__ = ["apply_registries", "copied", "registries", "told"]

#: What a dialect is made of.
_PARTS = (
    *("delimiter", "doublequote", "escapechar", "lineterminator", "quotechar", "quoting", "skipinitialspace"),
    "strict",
)
_PLAIN = (str, int, bool, type(None))


def registries() -> tuple[dict[Any, Any] | None, ...]:
    """Return the registries themselves; None for those of a module that was not imported.

    They are compared with those that were seen before: 0.1 µs where nothing has changed.
    """
    dialects, logging = getattr(sys.modules.get("_csv"), "_dialects", None), sys.modules.get("logging")
    return dialects, getattr(logging, "_levelToName", None), getattr(logging, "_nameToLevel", None)


def copied(seen: tuple[dict[Any, Any] | None, ...]) -> tuple[dict[Any, Any] | None, ...]:
    """Return what `registries` did, as it is now."""
    return tuple(None if registry is None else registry.copy() for registry in seen)


def told(dialects: dict[Any, Any] | None, names: dict[Any, Any] | None, levels: dict[Any, Any] | None) -> Told:
    """Return them as they travel; without what is not of the plain types themselves, which may be the script's."""
    parts = [] if dialects is None else [(name, _parts(dialect)) for name, dialect in dialects.items()]
    pairs = [(level, name) for name, level in (levels or {}).items()]  # several names may stand for one level
    pairs += (names or {}).items()
    return (
        None if dialects is None else dict(filter(_is_plain, parts)),
        None if names is None else [pair for pair in pairs if [*map(type, pair)] == [int, str]],
    )


def _parts(dialect: Any) -> dict[str, Any]:
    return {part: getattr(dialect, part, dialect) for part in _PARTS}


def _is_plain(named: tuple[Any, dict[str, Any]]) -> bool:
    name, parts = named
    return type(name) is str and all(type(part) in _PLAIN for part in parts.values())


#: What a worker was told last, to be taken on when the modules are imported, and the dialects that it has taken on.
_last: Told = None, None
_taken: set[str] = set()


def apply_registries(given: Told) -> None:
    """Take them on in a worker; as soon as their modules are imported, and none is just for that."""
    global _last
    _last = given
    for name, of_it, follow in zip(_MODULES, given, (_follow_dialects, _follow_levels), strict=True):
        if of_it is not None:
            _soon(name, follow)


_MODULES = "csv", "logging"


def _soon(name: str, follow: Callable[[], None]) -> None:
    if name in sys.modules:
        follow()
    else:
        once(name, follow)


def _follow_dialects() -> None:
    """Have the caller's dialects, and none of those that it had before; modules here may have registered others."""
    import csv

    there = _last[0] or {}
    for name in (_taken - there.keys()) & set(csv.list_dialects()):
        csv.unregister_dialect(name)
    for name, parts in there.items():
        csv.register_dialect(name, **parts)
    _taken.clear()
    _taken.update(there)


def _follow_levels() -> None:
    """Have the caller's names of levels; of several for one level, the last is the one that is printed."""
    import logging

    for level, name in _last[1] or ():
        logging.addLevelName(level, name)

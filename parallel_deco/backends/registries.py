"""What a program has registered in the standard library as plain values: dialects of `csv`, names of log levels."""

from __future__ import annotations

import sys

from parallel_deco.backends.imports import once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["apply_registries", "copied", "registries", "told"]

#: What a dialect is made of; all of it is plain.
_PARTS = (
    "delimiter",
    "doublequote",
    "escapechar",
    "lineterminator",
    "quotechar",
    "quoting",
    "skipinitialspace",
    "strict",
)
#: What the caller has told last, in a worker.
_here: dict[str, dict[Any, Any]] = {}


def registries() -> tuple[dict[str, Any] | None, dict[int, str] | None]:
    """Return the registries themselves: dialects and names of levels; None for a module that was not imported.

    They are compared with those that were seen before: where nothing has changed that takes 0.1 µs.
    """
    return getattr(sys.modules.get("_csv"), "_dialects", None), getattr(
        sys.modules.get("logging"), "_levelToName", None
    )


def copied(seen: tuple[dict[Any, Any] | None, ...]) -> tuple[dict[Any, Any] | None, ...]:
    """Return what `registries` did, as it is now."""
    return tuple(registry and registry.copy() for registry in seen)


def told(dialects: dict[str, Any] | None, levels: dict[int, str] | None) -> dict[str, dict[Any, Any]]:
    """Return them as they travel, by the module that has them; nothing that cannot be looked up by these names."""
    parts = {name: _parts(dialect) for name, dialect in (dialects or {}).items()}
    names = {level: name for level, name in (levels or {}).items() if type(level) is int and type(name) is str}
    return {"csv": parts, "logging": names}


def _parts(dialect: Any) -> dict[str, Any]:
    return {part: getattr(dialect, part) for part in _PARTS}


def apply_registries(given: dict[str, dict[Any, Any]]) -> None:
    """Take them on in a worker; as soon as their modules are imported, and none is just for that."""
    _here.update(given)
    for name, follow in _FOLLOW.items():
        if not given[name]:
            continue
        if name in sys.modules:
            follow()
        else:
            once(name, follow)


def _follow_dialects() -> None:
    import csv

    there = _here["csv"]
    for name in set(csv.list_dialects()) - there.keys():
        csv.unregister_dialect(name)
    for name, parts in there.items():
        csv.register_dialect(name, **parts)


def _follow_levels() -> None:
    import logging

    for level, name in _here["logging"].items():
        if logging.getLevelName(level) != name:
            logging.addLevelName(level, name)


_FOLLOW = {"csv": _follow_dialects, "logging": _follow_levels}

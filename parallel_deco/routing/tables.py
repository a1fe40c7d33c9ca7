"""Looks into tables and columns of pandas, which only pandas can look into."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from parallel_deco.routing.lookup import attribute, home, loaded, type_name

__all__ = [
    "can_be_looked_into",
    "cells",
    "columns",
    "gives_parts",
    "holds_objects",
    "is_column",
    "is_table",
    "shared_cells",
]

_TABLES: Final = frozenset(("pandas.core.frame.DataFrame", "pandas.DataFrame"))
#: Attributes and results of methods through which the same columns and cells are found.
_PARTS: Final = frozenset(("loc", "iloc", "at", "iat", "groupby()", "iterrows()", "itertuples()"))
_COLUMNS_MAX: Final = 4
_CELLS_MAX: Final = 32  # at each end


def is_table(thing: object) -> bool:
    """Say whether `thing` is a table of pandas, by the name of its type."""
    return type_name(type(thing)) in _TABLES


def can_be_looked_into(thing: object) -> bool:
    """Say whether `thing` is a table of the pandas that is loaded."""
    return attribute(loaded("pandas"), "DataFrame") is type(thing)


def is_column(thing: object) -> bool:
    """Say whether `thing` is a column of the pandas that is loaded."""
    return attribute(loaded("pandas"), "Series") is type(thing)


def gives_parts(name: str) -> bool:
    """Say whether the columns or cells of a table are found through what it has under a name."""
    return name in _PARTS


def columns(table: Any) -> list[object]:
    """Return columns of a table: some of those that may hold objects, and one that does not.

    Notes
    -----
    20 µs, and as much for each.
    """
    objects = [_is_of_objects(dtype) for dtype in table.dtypes.tolist()]
    wanted = [index for index, may_hold in enumerate(objects) if may_hold][:_COLUMNS_MAX]
    wanted += [objects.index(False)] if False in objects else []
    return [table.iloc[:, index] for index in wanted]


def shared_cells(table: Any) -> list[object]:
    """Return what a copy of a table shares with it, from the ends of columns of objects; or a number."""
    return [cell for column in columns(table) if holds_objects(column) for cell in cells(column) or ()] or [0]


def cells(column: Any) -> Iterable[object] | None:
    """Return what is in a column, from its ends; None where a type of the user's makes it up."""
    if not home(type(column.dtype)).startswith(("numpy", "pandas")):
        return None
    if not holds_objects(column):
        return (0,)
    found = column.to_numpy()
    return [*found[:_CELLS_MAX], *found[_CELLS_MAX:][-_CELLS_MAX:]]


def holds_objects(column: Any) -> bool:
    """Say whether the cells of a column are objects, which others may have too."""
    return _is_of_objects(column.dtype)


def _is_of_objects(dtype: Any) -> bool:
    return home(type(dtype)).startswith("numpy") and dtype.kind == "O"

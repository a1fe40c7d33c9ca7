"""What is handed round still is what it was: a change of it is found, whatever it has gone through.

The functions are read, and never run.
"""

from __future__ import annotations

import calendar
import codecs
import collections
import contextlib
import copy
import functools
import gettext
import itertools
import json
import logging.config
import random
import tracemalloc
import types
import urllib.request
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from typing import Any

import pytest

from parallel_deco.routing.static import read

# Nothing below is typed: the functions are what users write.

NUMBERS = [1]
TREE = ElementTree.fromstring("<a><b/></a>")


class Box:
    """It keeps a list."""

    def __init__(self, kept=None):
        self.kept = kept

    def add(self, x):
        self.kept.append(x)

    def __enter__(self):
        return self.kept

    def __exit__(self, *_):
        return None


BOX = Box([1])


@contextlib.contextmanager
def lent(thing):
    yield thing


@functools.singledispatch
def dispatched(x):
    return x


def kept_by(keep):
    """Return what is in a new object after `keep` has put it there."""
    box = Box()
    keep(box)
    return box.kept


def with_updated(pairs):
    table = {}
    table.update(pairs)
    return table["a"]


def grouped(things):
    groups = [list(group) for _, group in itertools.groupby(things, key=len)]
    return groups[0][0]


def from_items(items):
    things = [thing for _, thing in items]
    return things[0]


def entered(context):
    with context as thing:
        return thing


def on_a_stack(context):
    with contextlib.ExitStack() as stack:
        return stack.enter_context(context)


#: How a list gets from hand to hand.
WAYS: dict[str, Callable[..., Any]] = {
    "items of a dict": lambda d: from_items({"a": d}.items()),
    "one of the items": lambda d: next(iter({"a": d}.items()))[1],
    "items in order": lambda d: sorted({"a": d}.items(), key=lambda pair: pair[0])[0][1],
    "last item": lambda d: {"a": d}.popitem()[1],
    "items of keywords": lambda d: from_items(dict(a=d).items()),  # noqa: C408
    "items, numbered": lambda d: next(enumerate({"a": d}.items()))[1][1],
    "most common": lambda d: collections.Counter([(d,)]).most_common(1)[0][0][0],
    "from keys": lambda d: dict.fromkeys("a", d)["a"],
    "updated with pairs": lambda d: with_updated([("a", d)]),
    "zip of several": lambda d: next(zip(*[[d], [1]], strict=True))[0],
    "chain of several": lambda d: next(itertools.chain.from_iterable([[d]])),
    "product": lambda d: next(itertools.product([d], [1]))[0],
    "combinations": lambda d: next(itertools.combinations([d, d], 2))[0],
    "permutations": lambda d: next(itertools.permutations([d, d]))[1],
    "zip to the longest": lambda d: next(itertools.zip_longest([], [1], fillvalue=d))[0],
    "groups": lambda d: grouped([d]),
    "tee": lambda d: itertools.tee([d])[0].__next__(),
    "choice": lambda d: random.Random(1).choice([d]),
    "attribute asked for": lambda d: object.__getattribute__(Box(d), "kept"),
    "namespace": lambda d: kept_by(lambda box: box.__dict__.update(kept=d)),
    "vars": lambda d: kept_by(lambda box: vars(box).update(kept=d)),
    "set by name": lambda d: kept_by(lambda box: box.__setattr__("kept", d)),
    "null context": lambda d: entered(contextlib.nullcontext(d)),
    "context of a generator": lambda d: entered(lent(d)),
    "stack": lambda d: on_a_stack(lent(d)),
    "stack of an object": lambda d: on_a_stack(Box(d)),
    "hook": lambda d: json.loads("{}", object_hook=lambda _: d),
}


def _changes_argument(way):
    return lambda d: way(d).append(1)


def _changes_global(way):
    return lambda _: way(NUMBERS).append(1)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("make", [_changes_argument, _changes_global])
def test_change_is_found_when_a_list_went_from_hand_to_hand(make, way: Callable[..., Any]) -> None:
    """The list that comes out is the one that went in."""
    assert read(make(way)).pin(([1],)) is not None


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_nothing_is_found_when_the_list_is_the_calls_own(way: Callable[..., Any]) -> None:
    """A list that the call has made is nobody else's."""
    assert read(lambda n: way([n]).append(1)).pin((1,)) is None


CHANGES: dict[str, Callable[..., Any]] = {
    "copy of an object": lambda x: copy.copy(BOX).add(x),
    "made anew": lambda x: NUMBERS.__init__([x]),
    "descriptor in a partial": lambda x: functools.partial(list.append, NUMBERS)(x),
    "tree": lambda x: setattr(TREE.find("b"), "text", x),
    "trees": lambda x: TREE.findall("b")[0].set("x", "1"),
    "codec": lambda x: codecs.register_error("x", lambda error: ("", 0)),
    "namespace of XML": lambda x: ElementTree.register_namespace("x", "y"),
    "implementation": lambda x: dispatched.register(int, lambda y: y),
    "translation": lambda x: gettext.install("x"),
    "opener": lambda x: urllib.request.install_opener(None),
    "tracing": lambda x: tracemalloc.start(),
    "first day": lambda x: calendar.setfirstweekday(6),
    "logging": lambda x: logging.config.dictConfig({"version": 1}),
    "user's dict, by the class": lambda x: collections.UserDict.update(USERS, x=1),
}
USERS: Any = collections.UserDict()


@pytest.mark.parametrize("function", CHANGES.values(), ids=CHANGES)
def test_change_is_found_when_a_library_makes_it(function: Callable[..., Any]) -> None:
    """What libraries change of the process, or of what they are called with."""
    assert read(function).pin((1,)) is not None


def test_nothing_is_found_when_a_library_sets_what_the_call_has_made() -> None:
    """A function that sets something of what it is given does no more."""
    assert read(lambda x: copy.copy(types.SimpleNamespace(x=x))).pin((1,)) is None
    assert read(lambda x: [*itertools.tee([x])]).pin((1,)) is None


def test_reading_ends_when_a_class_has_a_method_of_another_object_for_a_special_one() -> None:
    """Who asks for an item asks for the next one of something else."""

    def parse(source):
        def events():
            yield from source

        class Events:
            __next__ = iter(events()).__next__

            def __iter__(self):
                return self

        return list(Events())

    assert read(parse).pin(([1, 2],)) is None


# --- tables ----------------------------------------------------------------------------------------------------------

pandas = pytest.importorskip("pandas")
TEXTS = pandas.Series(["a ", "b "])
LISTS = pandas.Series([[1], [2]])
TABLE = pandas.DataFrame({"name": ["a ", "b "], "size": [1, 2]})
MIXED = pandas.DataFrame({"lists": [[1], [2]], "size": [1, 2]})


def _with_share(group):
    group["share"] = group["size"] / group["size"].sum()
    return group


PURE_TABLES: dict[str, Callable[..., Any]] = {
    "cells of a column": lambda x: [text.strip() for text in TEXTS],
    "mapped column": lambda x: TEXTS.map(lambda text: text.strip()),
    "column of a table": lambda x: TABLE["name"].map(lambda text: text.strip()),
    "cells of a table": lambda x: [text.strip() for text in TABLE["name"]],
    "rows as tuples": lambda x: [row.name.strip() for row in TABLE.itertuples()],
    "rows": lambda x: [row["name"].strip() for _, row in TABLE.iterrows()],
    "applied to rows": lambda x: TABLE.apply(lambda row: row["name"].strip(), axis=1),
    "found by a label": lambda x: TABLE.loc[0, "name"].strip(),
    "groups": lambda x: TABLE.groupby("name").apply(lambda group: group.assign(rank=group["size"].rank())),
    "columns of copies": lambda x: TABLE.groupby("name").apply(_with_share),
}
CHANGED_TABLES: dict[str, Callable[..., Any]] = {
    "mapped column": lambda x: LISTS.map(lambda cell: cell.append(x)),
    "applied column": lambda x: LISTS.apply(lambda cell: cell.append(x)),
    "as a list": lambda x: LISTS.tolist()[0].append(x),
    "copy": lambda x: LISTS.copy()[0].append(x),
    "copy of a table": lambda x: MIXED.copy().lists[0].append(x),
    "mask": lambda x: MIXED[MIXED["size"] > x].lists.iloc[0].append(x),
    "column of a table": lambda x: MIXED["lists"].map(lambda cell: cell.append(x)),
    "rows": lambda x: MIXED.apply(lambda row: row["lists"].append(x), axis=1),
    "each cell": lambda x: MIXED.map(lambda cell: cell.append(x)),
    "groups": lambda x: MIXED.groupby("size").apply(lambda group: group.lists.iloc[0].append(x)),
    "the table": lambda x: MIXED.pipe(lambda table: table.insert(0, "x", x)),
}


@pytest.mark.parametrize("function", PURE_TABLES.values(), ids=PURE_TABLES)
def test_nothing_is_found_when_a_table_is_only_read(function: Callable[..., Any]) -> None:
    """Columns and cells of a table that the program has are known by what they are."""
    assert read(function).pin((1,)) is None


@pytest.mark.parametrize("function", CHANGED_TABLES.values(), ids=CHANGED_TABLES)
def test_change_is_found_when_cells_hold_objects(function: Callable[..., Any]) -> None:
    """Copies of tables share the objects in their cells."""
    assert read(function).pin((1,)) is not None


def test_nothing_is_found_when_rows_of_an_argument_are_made_dicts() -> None:
    """The dict of a row is a new one, and so is a copy of which a column is changed."""

    def rows(table):
        found = [row.to_dict() for _, row in table.iterrows()]
        found += [row._asdict() for row in table.itertuples()]
        for row in found + table.to_dict("records"):
            row["x"] = 1
        return found

    def columns(table):
        table = table.copy()
        table["size"] += 1
        table.size *= 2
        return table.rename(columns=str.upper)

    assert read(rows).pin((TABLE,)) is None
    assert read(columns).pin((TABLE,)) is None


def test_change_is_found_when_the_cells_are_an_arguments() -> None:
    """A column that is given is looked into."""
    assert read(lambda column: column.map(lambda cell: cell.append(1))).pin((LISTS,)) is not None
    assert read(lambda column: column.map(lambda cell: cell.strip())).pin((TEXTS,)) is None

"""Special methods that write are found, whoever calls them: operators, functions in C, libraries.

Also what hides a write in another way: exceptions that carry an object of others, classes made by a call, patches.
The functions are read, and never run.
"""

from __future__ import annotations

import abc
import bisect
import collections
import copy
import dataclasses
import functools
import heapq
import itertools
import json
import math
import operator
import os
import pickle
import statistics
import struct
import sys
import types
import unittest.mock
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from parallel_deco.routing.static import read

# Nothing below is typed: the functions are what users write.
# ruff: noqa: C420, UP031, SIM115, SIM300

LOG: list[Any] = []
CACHE: dict[Any, Any] = {}
#: An object of a class with one special method, several of them, and the class.
ASKED: Any = None
GROUP: list[Any] = []
Asker: Any = None


@functools.lru_cache
def remembered(x):
    return x


def with_item(thing):
    thing[1] = 2


def without_item(thing):
    del thing[1]


def with_attribute(thing):
    thing.name = 2


def without_attribute(thing):
    del thing.name


def added(thing):
    thing += 1
    return thing


ASKING: dict[str, list[Callable[..., Any]]] = {
    "__lt__": [
        lambda x: sorted(GROUP),
        lambda x: min(GROUP),
        lambda x: max(ASKED, x),
        lambda x: max([1, 2], key=lambda number: ASKED),
        lambda x: sorted([1, 2], key=lambda number: ASKED),
        lambda x: sorted([(1, ASKED), (2, ASKED)]),
        lambda x: sorted((ASKED, number) for number in range(3)),
        lambda x: list(GROUP).sort(),
        lambda x: [Asker(), Asker()].sort(),
        lambda x: heapq.heappush([], ASKED),
        lambda x: heapq.nsmallest(2, GROUP),
        lambda x: bisect.bisect(GROUP, x),
        lambda x: statistics.median(GROUP),
        lambda x: operator.lt(ASKED, x),
        lambda x: (1, ASKED) < (1, x),
    ],
    "__eq__": [
        lambda x: x in GROUP,
        lambda x: ASKED in [1, 2],
        lambda x: GROUP.index(x),
        lambda x: GROUP.count(x),
        lambda x: [1, 2].remove(ASKED),
        lambda x: [Asker()].index(x),
        lambda x: collections.deque(GROUP).index(x),
        lambda x: GROUP == [x],
        lambda x: {"a": ASKED} == {"a": x},
        lambda x: operator.contains(GROUP, x),
    ],
    "__hash__": [
        lambda x: {ASKED: 1},
        lambda x: {ASKED},
        lambda x: {each: 1 for each in GROUP},
        lambda x: set(GROUP),
        lambda x: dict.fromkeys(GROUP),
        lambda x: {(ASKED, 1): 1},
        lambda x: CACHE.get(ASKED),
        lambda x: CACHE[ASKED],
        lambda x: ASKED in CACHE,
        lambda x: set().add(ASKED),
        lambda x: {1}.union(GROUP),
        lambda x: collections.Counter(GROUP),
        lambda x: remembered(ASKED),
    ],
    "__index__": [
        lambda x: [1, 2, 3][ASKED],
        lambda x: [1, 2, 3][ASKED:],
        lambda x: "abc" * ASKED,
        lambda x: [1, 2, 3][Asker()],
        lambda x: list(itertools.islice([1, 2, 3], ASKED)),
        lambda x: operator.index(ASKED),
        lambda x: math.gcd(ASKED, 4),
        lambda x: struct.pack("i", ASKED),
        lambda x: [1, 2].insert(ASKED, 3),
    ],
    "__copy__": [lambda x: copy.copy(ASKED), lambda x: copy.copy(Asker())],
    "__deepcopy__": [lambda x: copy.deepcopy(ASKED), lambda x: copy.deepcopy(GROUP)],
    "__reduce__": [lambda x: pickle.dumps(ASKED), lambda x: copy.copy(ASKED)],
    "__reduce_ex__": [lambda x: pickle.dumps(GROUP)],
    "__getstate__": [
        lambda x: pickle.dumps([ASKED]),
        lambda x: copy.deepcopy([ASKED]),
        lambda x: pickle.dumps(dataclasses.make_dataclass("Holder", ["held"])(ASKED)),
    ],
    "__fspath__": [lambda x: open(ASKED), lambda x: os.fspath(ASKED), lambda x: os.path.exists(Asker())],
    "__length_hint__": [lambda x: list(ASKED), lambda x: operator.length_hint(ASKED)],
    "__len__": [lambda x: list(ASKED), lambda x: any(GROUP), lambda x: list(filter(None, GROUP))],
    "__iter__": [
        lambda x: "".join(ASKED),
        lambda x: x in ASKED,
        lambda x: [].extend(ASKED),
        lambda x: math.fsum(ASKED),
        lambda x: statistics.mean(ASKED),
        lambda x: heapq.nlargest(2, ASKED),
        lambda x: np.fromiter(ASKED, float),
    ],
    "__contains__": [lambda x: operator.contains(ASKED, x)],
    "__bool__": [lambda x: list(filter(None, GROUP)), lambda x: operator.not_(ASKED), lambda x: all(GROUP)],
    "__str__": [
        lambda x: "%s %s" % (x, ASKED),
        lambda x: f"{ValueError(ASKED)}",
        lambda x: str.format("{}", ASKED),
        lambda x: "{a}".format_map({"a": ASKED}),
        lambda x: ",".join(map(str, GROUP)),
    ],
    "__repr__": [
        lambda x: repr(GROUP),
        lambda x: f"{[ASKED]}",
        lambda x: str({"a": ASKED}),
        lambda x: print(x, [ASKED]),
        lambda x: repr([Asker()]),
        lambda x: "%s" % ([ASKED],),
    ],
    "__getitem__": [
        lambda x: ASKED[1:2],
        lambda x: operator.itemgetter(1)(ASKED),
        lambda x: "%(a)s" % ASKED,
        lambda x: "{a}".format_map(ASKED),
        lambda x: x in ASKED,
    ],
    "__setitem__": [lambda x: with_item(Asker()), lambda x: operator.setitem(Asker(), 1, 2)],
    "__delitem__": [lambda x: without_item(Asker()), lambda x: operator.delitem(Asker(), 1)],
    "__setattr__": [lambda x: with_attribute(Asker()), lambda x: setattr(Asker(), "name", 1)],
    "__delattr__": [lambda x: without_attribute(Asker()), lambda x: delattr(Asker(), "name")],
    "__iadd__": [lambda x: added(Asker()), lambda x: operator.iadd(Asker(), 1)],
    "__add__": [lambda x: sum(GROUP), lambda x: list(itertools.accumulate(GROUP)), lambda x: operator.add(ASKED, 1)],
    "__radd__": [lambda x: sum([x, ASKED]), lambda x: np.ones(3) + ASKED],
    "__rpow__": [lambda x: pow(2, ASKED)],
    "__rdivmod__": [lambda x: divmod(2, ASKED)],
    "__call__": [lambda x: sorted([1, 2], key=Asker()), lambda x: list(map(ASKED, [1]))],
    "__array__": [
        lambda x: np.array(ASKED),
        lambda x: np.asarray(GROUP),
        lambda x: np.sum(ASKED),
        lambda x: np.ones(1) + ASKED,
    ],
    "__array_ufunc__": [lambda x: np.sin(ASKED), lambda x: np.ones(1) < ASKED, lambda x: np.add(ASKED, 1)],
    "__array_function__": [lambda x: np.concatenate(GROUP)],
    "__float__": [lambda x: math.sqrt(ASKED), lambda x: "%.2f" % Asker(), lambda x: list(map(math.sin, GROUP))],
    "__ceil__": [lambda x: math.ceil(ASKED)],
    "__bytes__": [lambda x: bytes(ASKED)],
    "__sizeof__": [lambda x: sys.getsizeof(ASKED)],
    "__dir__": [lambda x: dir(ASKED)],
}
CASES = [(name, number) for name, functions in ASKING.items() for number in range(len(functions))]


@pytest.mark.parametrize(("name", "number"), CASES)
def test_special_method_is_read_when_something_calls_it(
    name: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that notes that it was asked has an effect, one that only answers has none."""

    def note(self: Any, *args: Any) -> Any:
        LOG.append(args)
        return self

    def answer(self: Any, *args: Any) -> Any:
        return len(args)

    function = ASKING[name][number]
    for special, found in ((note, True), (answer, False)):
        cls = type("Asker", (), {name: special})
        asked = [object.__new__(cls), object.__new__(cls)]
        for key, value in {"Asker": cls, "ASKED": asked[0], "GROUP": asked}.items():
            monkeypatch.setitem(globals(), key, value)
        effect = read(function).pin((3,))
        assert (effect is not None) is found, effect


# --- other ways --------------------------------------------------------------------------------------------------

CHANGES: list[Callable[..., Any]] = []
PURE: list[Callable[..., Any]] = []


def changes(function):
    """Collect a function with an effect."""
    CHANGES.append(function)
    return function


def pure(function):
    """Collect a function with none."""
    PURE.append(function)
    return function


class Refused(Exception):
    """Has what was refused."""

    def __init__(self, items):
        self.items = items


class Setting:
    """Can be patched."""

    rate = 1


class Registered:
    """Its subclasses are noted."""

    def __init_subclass__(cls, **options):
        LOG.append(cls)


class Adapted:
    """Its subclasses get something more."""

    def __init_subclass__(cls, **options):
        cls.more = 1

    def note(self):
        LOG.append(self)

    def look(self):
        return self.more


class Numbered:
    """Notes that one is made."""

    def __init__(self, *_):
        LOG.append(1)


class Counting(type):
    """Counts its classes."""

    def __new__(meta, name, bases, members):
        LOG.append(name)
        return super().__new__(meta, name, bases, members)


class Named:
    """Knows its name."""

    def __set_name__(self, owner, name):
        LOG.append(name)


class Descriptor:
    """Notes what is done to it."""

    def __get__(self, instance, owner=None):
        LOG.append(instance)

    def __set__(self, instance, value):
        LOG.append(value)

    def __delete__(self, instance):
        LOG.append(instance)


class Described:
    """Has a descriptor."""

    value = Descriptor()


@functools.total_ordering
class Ordered:
    """Notes that it is compared."""

    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return self.value == other.value

    def __gt__(self, other):
        LOG.append(other)
        return self.value > other.value


@functools.total_ordering
class Purely:
    """Only compares."""

    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return self.value == other.value

    def __lt__(self, other):
        return self.value < other.value


class Printed:
    """Counts how often it was printed."""

    count = 0

    def __repr__(self):
        self.count += 1
        return "printed"


@dataclasses.dataclass
class Holder:
    """Holds something."""

    held: Any


@dataclasses.dataclass(frozen=True, order=True)
class Point:
    """Generated methods compare, hash and print it."""

    x: int
    y: int = 0


class Vector:
    """Has all that a vector should have."""

    def __init__(self, x, y):
        self.x, self.y = x, y

    def __add__(self, other):
        return Vector(self.x + other.x, self.y + other.y)

    __radd__ = __add__

    def __eq__(self, other):
        return isinstance(other, Vector) and (self.x, self.y) == (other.x, other.y)

    def __lt__(self, other):
        return self.x < other.x

    def __hash__(self):
        return hash((self.x, self.y))

    def __repr__(self):
        return f"Vector({self.x!r}, {self.y!r})"

    def __iter__(self):
        yield self.x
        yield self.y

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return (self.x, self.y)[index]

    def __setitem__(self, index, value):
        setattr(self, "xy"[index], value)

    def __array__(self, dtype=None, copy=None):
        return np.array([self.x, self.y])

    def __deepcopy__(self, memo):
        copied = Vector(self.x, self.y)
        memo[id(self)] = copied
        return copied

    def __reduce__(self):
        return Vector, (self.x, self.y)

    def __call__(self, factor):
        return self.x * factor


class Zeros(dict):
    """Makes up what it has not."""

    def __missing__(self, key):
        return 0


class Filling(dict):
    """Keeps what it makes up."""

    def __missing__(self, key):
        self[key] = 0
        return 0


SETTING = Setting()
FAILURE = ValueError([])
ORDERED = [Ordered(1), Ordered(2)]
PURELY = [Purely(1), Purely(2)]
HOLDER = Holder(Printed())
PRINTED = Printed()
VECTOR = Vector(1, 2)
VECTORS = [Vector(1, 2), Vector(3, 4)]
POINTS = {Point(1): "a", Point(2): "b"}
ZEROS = Zeros(a=1)
FILLING = Filling(a=1)


def refuse(items):
    raise ValueError("refused", items)


@changes
def _appends_to_what_an_exception_carries(x):
    try:
        raise ValueError(LOG)
    except ValueError as error:
        error.args[0].append(x)


@changes
def _appends_to_what_an_exception_of_a_callee_carries(x):
    try:
        refuse(LOG)
    except (ValueError, TypeError) as error:
        _, items = error.args
        items.append(x)


@changes
def _appends_to_what_an_exception_of_its_own_has(x):
    try:
        raise Refused(LOG)
    except Refused as error:
        error.items.append(x)


@changes
def _appends_to_what_is_in_a_group(x):
    try:
        raise ExceptionGroup("several", [ValueError(LOG)])
    except* ValueError as group:
        group.exceptions[0].args[0].append(x)


@changes
def _appends_to_what_a_global_exception_carries(x):
    try:
        raise FAILURE
    except ValueError as error:
        error.args[0].append(x)


@changes
def _appends_to_what_the_exception_in_force_carries(x):
    try:
        raise ValueError(LOG)
    except ValueError:
        sys.exc_info()[1].args[0].append(x)


@changes
def _appends_to_an_exception_of_an_earlier_round(x):
    error = ValueError([])
    for number in range(3):
        try:
            if number:
                raise error
        except ValueError as caught:
            caught.args[0].append(x)
        error = ValueError(LOG)


@pure
def _tells_what_an_exception_carries(x):
    try:
        raise ValueError("bad", x, VECTOR)
    except ValueError as error:
        return f"{error}", error.args[0], list(error.args), repr(error)


@pure
def _appends_to_an_exception_of_its_own(x):
    found = []
    try:
        raise Refused(found)
    except Refused as error:
        error.items.append(x)
        error.add_note("refused")
    return found


@pure
def _catches_another_exception(x):
    try:
        raise ValueError(LOG)
    except KeyError as error:
        error.args[0].append(x)


@changes
def _patches_an_object(x):
    with unittest.mock.patch.object(SETTING, "rate", x):
        return SETTING.rate


@changes
def _patches_a_class(x):
    patch = unittest.mock.patch.object(Setting, "rate", x)
    patch.start()
    patch.stop()


@changes
def _patches_by_name(x):
    with unittest.mock.patch("os.getcwd"):
        return os.getcwd()


@changes
def _patches_a_dict(x):
    with unittest.mock.patch.dict(CACHE, {"a": x}):
        return CACHE["a"]


@changes
def _patches_a_dict_by_name(x):
    with unittest.mock.patch.dict("os.environ", a="1"):
        return x


@changes
@unittest.mock.patch.object(SETTING, "rate", 3)
def _is_decorated_with_a_patch(x):
    return SETTING.rate * x


@pure
def _patches_an_object_of_its_own(x):
    setting = Setting()
    with unittest.mock.patch.object(setting, "rate", x):
        return setting.rate


@changes
def _makes_a_class_by_a_call(x):
    return types.new_class("New", (Registered,))


@changes
def _makes_a_class_of_a_metaclass(x):
    return types.new_class("New", (), {"metaclass": Counting})


@changes
def _fills_a_class_with_a_function_that_appends(x):
    return types.new_class("New", (), {}, lambda members: LOG.append(members))


@changes
def _makes_a_dataclass_of_a_base(x):
    return dataclasses.make_dataclass("New", ["x"], bases=(Registered,))


@changes
def _makes_a_dataclass_with_a_method_that_notes(x):
    return dataclasses.make_dataclass("New", ["x"], bases=(Adapted,))(x).note()


@changes
def _makes_an_instance_of_a_class_made_by_a_call(x):
    return type("New", (Numbered,), {})()


@changes
def _makes_a_class_with_a_name_that_is_noted(x):
    return type("New", (), {"name": Named()})


@changes
def _calls_a_metaclass(x):
    return abc.ABCMeta("New", (Registered,), {})


@changes
def _compares_with_a_method_given_to_a_class(x):
    return sorted([type("New", (), {"__lt__": lambda self, other: LOG.append(other)})()])


@pure
def _makes_classes_that_note_nothing(x):
    first = types.new_class("New", (Adapted,))
    second = dataclasses.make_dataclass("New", ["x"], bases=(Adapted,))(x).look()
    return first, second, type("New", (Adapted,), {"double": lambda self: 2 * x})().double()


@changes
def _sorts_what_is_of_a_local_class(x):
    class Local:
        def __lt__(self, other):
            LOG.append(other)
            return True

    return sorted([Local(), Local()])


@changes
def _inherits_in_a_local_class(x):
    class Base:
        def __eq__(self, other):
            LOG.append(other)

    class Local(Base):
        pass

    return x in [Local()]


@changes
def _makes_an_instance_of_a_local_subclass(x):
    class Local(Numbered):
        pass

    return Local()


@changes
def _calls_a_base_by_super(x):
    class Local(Numbered):
        def __init__(self):
            super().__init__()
            self.x = x

    return Local()


@changes
def _has_a_local_metaclass(x):
    class Meta(type):
        def __call__(cls):
            LOG.append(cls)

    class Local(metaclass=Meta):
        pass

    return Local()


@changes
def _sets_an_attribute_of_a_local_class(x):
    class Local:
        def __setattr__(self, name, value):
            LOG.append(name)

    local = Local()
    local.x = x


@changes
def _asks_a_local_class_for_what_it_makes_up(x):
    class Local:
        def __getattr__(self, name):
            LOG.append(name)

    return Local().x


@changes
def _sets_a_descriptor_of_a_local_class(x):
    class Local:
        value = Descriptor()

    Local().value = x


@changes
def _prints_an_exception_of_a_local_class(x):
    class Local(Exception):
        def __str__(self):
            LOG.append(x)
            return ""

    try:
        raise Local
    except Local as error:
        return f"{Local()} {error}"


@pure
def _uses_a_local_class_that_changes_itself(x):
    class Local:
        def __init__(self, value):
            self.value, self.log = value, []

        def __lt__(self, other):
            self.log.append(other)
            return self.value < other.value

        def __eq__(self, other):
            return self.value == other.value

        def __hash__(self):
            return hash(self.value)

        def __str__(self):
            self.log.append(1)
            return str(self.value)

    found = [Local(number) for number in range(x)]
    return sorted(found), f"{found[0]}", {one: 1 for one in found}, found[0] in found, min(found).value


@changes
def _orders_what_is_ordered_by_another_operator(x):
    return sorted(ORDERED)


@changes
def _compares_what_is_ordered_by_another_operator(x):
    return Ordered(1) <= Ordered(x)


@pure
def _orders_what_only_compares(x):
    return sorted(PURELY), max(PURELY), PURELY[0] >= Purely(x)


@changes
def _prints_a_dataclass_that_holds_what_counts(x):
    return f"{HOLDER}"


@changes
def _hands_what_counts_to_a_library(x):
    return json.dumps(Holder(PRINTED), default=repr)


@changes
def _reads_a_descriptor_of_a_class(x):
    return Described.value


@changes
def _deletes_a_descriptor(x):
    del Described().value


@changes
def _keeps_what_it_misses(x):
    return "%(b)s" % FILLING, operator.getitem(FILLING, x)


@pure
def _makes_up_what_it_misses(x):
    return "%(b)s" % ZEROS, operator.getitem(ZEROS, x), ZEROS[x], "{b}".format_map(ZEROS), dict(ZEROS)


@pure
def _orders_vectors(x):
    return (
        sorted(VECTORS),
        max(VECTORS),
        heapq.nlargest(1, VECTORS),
        bisect.bisect(VECTORS, VECTOR),
        sorted([x], key=VECTOR),
    )


@pure
def _looks_for_vectors(x):
    return {VECTOR: 1}, set(VECTORS), VECTOR in VECTORS, VECTORS.index(VECTOR), CACHE.get(VECTOR), remembered(VECTOR)


@pure
def _looks_for_points(x):
    return (
        POINTS[Point(x)],
        Point(x) in POINTS,
        {Point(x)},
        sorted(POINTS),
        max(POINTS),
        repr(POINTS),
        Point(x) < Point(2),
    )


@pure
def _copies_vectors(x):
    return copy.copy(VECTOR), copy.deepcopy(VECTORS), pickle.dumps(VECTORS), copy.deepcopy([Vector(x, x)])


@pure
def _tells_vectors(x):
    return (
        f"{VECTOR} {VECTORS}",
        repr(VECTORS),
        "%s" % [VECTOR],
        ",".join(map(str, VECTORS)),
        json.dumps([1], default=str),
    )


@pure
def _adds_vectors(x):
    return (
        sum(VECTORS),
        VECTOR + VECTOR,
        np.array(VECTOR),
        np.sum(VECTORS),
        np.ones(2) + VECTOR,
        len(VECTOR),
        list(VECTOR),
    )


@pure
def _keeps_what_counts_in_a_list_of_its_own(x):
    found = [PRINTED]
    found.append(PRINTED)
    found.insert(0, PRINTED)
    return found[0], (PRINTED, x)[1], {"a": PRINTED}["a"], isinstance(PRINTED, Printed), id(PRINTED)


def name_of(function: Callable[..., Any]) -> str:
    """Return the name under which pytest shows a case."""
    return function.__name__.strip("_")


@pytest.mark.parametrize("function", CHANGES, ids=name_of)
def test_effect_is_found_when_it_hides(function: Callable[..., Any]) -> None:
    """A function with an effect is pinned."""
    assert read(function).pin((3,)) is not None


@pytest.mark.parametrize("function", PURE, ids=name_of)
def test_nothing_is_found_when_it_only_looks_alike(function: Callable[..., Any]) -> None:
    """A pure function that resembles one of them is not pinned."""
    assert read(function).pin((3,)) is None

"""What is reached by way of a class is seen: members of enumerations, `super`, descriptors, what operators give.

And a reading stands no longer than the classes that it relied on are as they were. The functions are read, never run.
"""

from __future__ import annotations

import enum
import functools
from collections import namedtuple
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest

from parallel_deco.routing.static import read

# Nothing below is typed: the functions are what users write.

LOG: list[Any] = []


def save(x):
    LOG.append(x)


class Unit(enum.Enum):
    """Its members keep something."""

    METRE = "m"
    KELVIN = "k"

    def __init__(self, text):
        self.log = []
        self.hits = 0

    def hit(self):
        self.hits += 1

    @classmethod
    def hit_all(cls):
        for unit in cls:
            unit.hits += 1


def member_by_value(x):
    Unit("mk"[x % 2]).log.append(x)


def member_by_name(x):
    Unit[x].hit()


def members_in_a_loop(x):
    Unit.hit_all()


def members_in_a_list(x):
    for unit in list(Unit):
        unit.log.append(x)


Handler = namedtuple("Handler", "name call")
HANDLER = Handler("a", save)
PARTIAL = Handler("b", functools.partial(save, 1))


def field_of_a_named_tuple(x):
    HANDLER.call(x)


def partial_in_a_named_tuple(x):
    PARTIAL.call()


class Base:
    """Has what all share."""

    log: ClassVar[list[Any]] = []
    keeps = LOG.append

    @property
    def rows(self):
        return self.log


class Child(Base):
    """Comes to it from below."""

    def note(self, x):
        super().log.append(x)

    @classmethod
    def register(cls, x):
        super().log.append(x)

    @property
    def rows(self):
        return super().rows

    @property
    def data(self):
        return 1

    @data.deleter
    def data(self):
        LOG.append(1)


def attribute_above(x):
    Child().note(x)


def attribute_above_a_class(x):
    Child.register(x)


def property_above(x):
    Child().rows.append(x)


def deleter(x):
    del Child().data


def deleter_by_name(x):
    delattr(Child(), "data")


def bound_method_on_a_class(x):
    Base.keeps(x)


class Counted:
    """Counts the calls of a method, by the usual recipe."""

    def __init__(self, function):
        self.function = function
        self.calls = 0

    def __get__(self, instance, owner=None):
        def call(*args):
            self.calls += 1
            return self.function(instance, *args)

        return call


class Model:
    """Its method is counted."""

    @Counted
    def predict(self, x):
        return x


MODEL = Model()


def counted_method(x):
    return MODEL.predict(x)


class Meta(type):
    """Makes up attributes of its classes."""

    def __getattr__(cls, name):
        return save


class Api(metaclass=Meta):
    """Has none."""


def made_up_by_a_metaclass(x):
    Api.anything(x)


class Query:
    """Builds itself by operators."""

    def __init__(self):
        self.parts = []

    def __invert__(self):
        return self

    def __lt__(self, other):
        return self

    def also(self, x):
        self.parts.append(x)


QUERY = Query()


def result_of_a_sign(x):
    (~QUERY).also(x)


def result_of_a_comparison(x):
    (QUERY < 3).also(x)


class Failure(Exception):
    """Is counted."""

    def __init__(self):
        LOG.append(1)


def raised_class(x):
    try:
        raise Failure
    except Failure:
        return x


SEEDS = np.random.SeedSequence(1)


def seeds_spawn(x):
    return SEEDS.spawn(1)


@pytest.mark.parametrize(
    "function",
    [
        *(member_by_value, member_by_name, members_in_a_loop, members_in_a_list, field_of_a_named_tuple),
        *(partial_in_a_named_tuple, attribute_above, attribute_above_a_class, property_above, deleter, deleter_by_name),
        *(bound_method_on_a_class, counted_method, made_up_by_a_metaclass, result_of_a_sign, result_of_a_comparison),
        *(raised_class, seeds_spawn),
    ],
)
def test_effect_is_found_when_it_is_reached_by_way_of_a_class(function):
    """As it is when somebody writes it straight away."""
    assert read(function).pin((1,)) is not None


class Colour(enum.Enum):
    """Names constants."""

    RED = 1
    BLUE = 2

    def text(self):
        return self.name.lower()


class Quiet(Base):
    """Only reads what is above."""

    @property
    def rows(self):
        return super().rows

    def count(self):
        return len(super().log) + len(self.rows)


Point = namedtuple("Point", "x y")
ORIGIN = Point(0.0, 0.0)


def members_that_are_read(x):
    return Colour(1 + x % 2).text(), [colour.value for colour in Colour], Colour["RED"]


def attributes_above_that_are_read(x):
    return Quiet().count()


def fields_that_are_read(x):
    return abs(ORIGIN.x - x) + ORIGIN.y


def signs_and_comparisons(x):
    return -x < ~x


def raised_class_of_a_library(x):
    try:
        raise ValueError
    except ValueError:
        return x


def generator_of_a_seed(seed):
    return np.random.default_rng(seed).normal()


@pytest.mark.parametrize(
    ("function", "argument"),
    [
        *((members_that_are_read, 1), (attributes_above_that_are_read, 1), (fields_that_are_read, 1.0)),
        *((signs_and_comparisons, 1), (raised_class_of_a_library, 1), (generator_of_a_seed, SEEDS)),
    ],
)
def test_nothing_is_found_when_classes_are_only_read(function, argument):
    """What looks alike may go anywhere."""
    assert read(function).pin((argument,)) is None


def hooks_of_a_class() -> tuple[Callable[..., Any], Callable[[], Any]]:
    class Tracer:
        hooks: ClassVar[list[Any]] = []

        def emit(self, x):
            for hook in self.hooks:
                hook(x)

    def trace(x):
        Tracer().emit(x)

    return trace, lambda: Tracer.hooks.append(LOG.append)


def sink_of_a_class() -> tuple[Callable[..., Any], Callable[[], Any]]:
    class Recorder:
        sink = None

        def put(self, x):
            if self.sink is not None:
                self.sink.append(x)

    def record(x):
        Recorder().put(x)

    return record, lambda: setattr(Recorder, "sink", LOG)


def callback_of_a_class() -> tuple[Callable[..., Any], Callable[[], Any]]:
    class Bus:
        callback = None

        @classmethod
        def emit(cls, x):
            if cls.callback:
                cls.callback(x)

    def emit(x):
        Bus.emit(x)

    return emit, lambda: setattr(Bus, "callback", LOG.append)


def wrapped_method() -> tuple[Callable[..., Any], Callable[[], Any]]:
    class Client:
        def get(self, x):
            return x

    def get(x):
        return Client().get(x)

    return get, lambda: setattr(Client, "get", lambda self, x: LOG.append(x))


@pytest.mark.parametrize("make", [hooks_of_a_class, sink_of_a_class, callback_of_a_class, wrapped_method])
def test_function_is_read_again_when_a_class_that_it_relied_on_has_changed(make):
    """It was free to go before, and is not any more."""
    function, change = make()
    assert read(function).pin((1,)) is None
    change()
    assert read(function).pin((1,)) is not None

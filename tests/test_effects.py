"""What a function would change outside of itself is found, by line; what only looks like it is left alone.

Each function under `changes` has one line marked ``# <-``: the effect must be found there. Each one under `pure`
resembles one of them. They are read, and never run.
"""

from __future__ import annotations

import ast
import asyncio
import bisect
import collections
import configparser
import contextlib
import contextvars
import copy
import csv
import dataclasses
import decimal
import enum
import functools
import hashlib
import heapq
import html.parser
import importlib
import inspect
import io
import itertools
import json
import logging
import math
import operator
import os
import queue
import random
import re
import sys
import threading
import unittest.mock
import xml.parsers.expat
import xml.sax
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
import pytest

from parallel_deco.routing.static import EffectKind, read

# Nothing below is typed: the functions are what users write.
# ruff: noqa: B006, B905, C416, RUF012, UP031, UP032, SIM

LOG: list[Any] = []
ROWS: list[list[int]] = [[1], [2]]
CACHE: dict[Any, Any] = {}
TABLE = {"a": 1, "b": 2}
SEEN: set[Any] = set()
COUNTER = 0
LIMIT = 10
GUARD = threading.Lock()
STREAM = io.StringIO()
INBOX: queue.Queue[int] = queue.Queue()
NUMBERS = (n for n in range(10))
IDS = itertools.count()
LOCAL = threading.local()
HELD: contextvars.ContextVar[list[Any]] = contextvars.ContextVar("HELD", default=[])  # noqa: B039
VARIABLE = contextvars.ContextVar("VARIABLE", default=0)
RANDOM = random.Random(1)
SYSTEM = random.SystemRandom()
MOCK = unittest.mock.Mock()
GENERATOR = np.random.default_rng(1)
ARRAY = np.zeros(8)
MATRIX = np.zeros((4, 4))
GROUPS: collections.defaultdict[str, list[int]] = collections.defaultdict(list)
PATTERN = re.compile("a+")
LOGGER = logging.getLogger("test_effects")
PUSH = LOG.append
ROOT = ElementTree.Element("root")
OUTPUT = {"out": ARRAY}
COMPRESSOR = zlib.compressobj()
CONFIG = configparser.ConfigParser()
SETTINGS = {"names": ["a"], "depth": 3}


class Counter:
    """A user's class with and without effects."""

    total = 0
    shared: list[Any] = []

    def __init__(self, start: int = 0) -> None:
        self.count = start
        self.items: list[Any] = []

    def increment(self):
        self.count += 1
        return self.count

    def add(self, item):
        self.items.append(item)

    def add_twice(self, item):
        self.add(item)
        self.add(item)

    def doubled(self):
        return self.count * 2

    def plus(self, other):
        return Counter(self.count + other)

    def total_of(self, items):
        return sum(items) + self.doubled()

    @property
    def next_number(self):
        self.count += 1
        return self.count

    @property
    def half(self):
        return self.count / 2

    @staticmethod
    def double(x):
        return 2 * x

    @classmethod
    def make(cls, x):
        return cls(x)

    @classmethod
    def note(cls, x):
        cls.shared.append(x)

    def __call__(self, x):
        self.count += 1
        return x


class Vector:
    """Its `add` has the name of a change and is none."""

    def __init__(self, x, y):
        self.x, self.y = x, y

    def add(self, other):
        return Vector(self.x + other.x, self.y + other.y)

    def __iadd__(self, other):
        self.x += other.x
        return self


class Filling(dict):
    """A dict that grows when it is read."""

    def __missing__(self, key):
        self[key] = []
        return self[key]


class Guarded:
    """A context manager that counts its uses."""

    def __init__(self):
        self.uses = 0

    def __enter__(self):
        self.uses += 1
        return self

    def __exit__(self, *error):
        return None


class Registered(type):
    """A metaclass that remembers the instances of its classes."""

    made: list[Any] = []

    def __call__(cls, *args, **kwargs):
        instance = super().__call__(*args, **kwargs)
        Registered.made.append(instance)
        return instance


class Remembered(metaclass=Registered):
    """Making one is an effect."""


@dataclasses.dataclass
class Point:
    """Making one is none."""

    x: float
    y: float = 0.0
    tags: list[str] = dataclasses.field(default_factory=list)


class Pair(NamedTuple):
    """An immutable pair."""

    left: Any
    right: Any


class Base:
    """What `Derived` calls by way of super."""

    def __init__(self, x):
        self.x = x

    def store(self, x):
        LOG.append(x)

    def value(self):
        return self.x


class Derived(Base):
    """Calls its base by way of super."""

    def __init__(self, x):
        super().__init__(x)
        self.y = x

    def store(self, x):
        return super().store(x)

    def value(self):
        return super().value() + self.y


class Setting:
    """Appends to a global list when it is set, stored into or added to."""

    @property
    def value(self):
        return 1

    @value.setter
    def value(self, x):
        LOG.append(x)  # <- _sets_a_property_that_appends

    def __setitem__(self, key, x):
        LOG.append(x)  # <- _stores_an_item_that_appends

    def __add__(self, x):
        LOG.append(x)  # <- _adds_with_an_operator_that_appends
        return self


class Proxy:
    """Makes up its attributes."""

    def __getattr__(self, name):
        return LOG.append


class Node:
    """A tree."""

    def __init__(self, children):
        self.children = children
        self.seen = False

    def weight(self):
        return 1 + sum(child.weight() for child in self.children)


class CountCalls:
    """A decorator that is a class."""

    def __init__(self, function):
        functools.update_wrapper(self, function)
        self.function = function
        self.calls = 0

    def __call__(self, *args):
        self.calls += 1  # <- _counts_with_a_decorated_class
        return self.function(*args)


@CountCalls
def counted(x):
    """Square."""
    return x * x


def same(x):
    """Give back what was given."""
    return x


async def appending(x):
    """Append."""
    LOG.append(x)  # <- _appends_in_a_coroutine


def handle_purely(x):
    """Double."""
    return 2 * x


def handle(x):
    """Append."""
    LOG.append(x)  # <- _calls_one_of_a_table


def append_for_a(x):
    """Append."""
    LOG.append(x)  # <- _dispatches_to_a_function_that_appends


def append_to_none_b(x):
    """Give back."""
    return x


class Visitor:
    """Finds its methods by name."""

    def __init__(self, found):
        self.found = found

    def visit(self, name):
        return getattr(self, "visit_" + name)(name)

    def visit_note(self, name):
        LOG.append(name)  # <- _dispatches_to_a_method_that_notes

    def collected(self, name):
        method = getattr(self, f"collect_{name}", self.collect_others)
        return method(name)

    def collect_square(self, name):
        self.found.append(name)

    def collect_others(self, name):
        self.found.append(None)

    def count_note(self, name):
        self.found += [name]  # <- _dispatches_to_a_method_of_an_argument_that_counts

    def pure_square(self, name):
        return len(self.found)


MODULE = sys.modules[__name__]


class NotingVisitor(ast.NodeVisitor):
    """Appends to a global list."""

    def visit_Name(self, node):
        LOG.append(node.id)  # <- _visits_nodes_with_a_class_that_appends


class CollectingVisitor(ast.NodeVisitor):
    """Appends to a list of its own."""

    def __init__(self):
        self.names = []
        self.depth = 0

    def visit_Name(self, node):
        self.names.append(node.id)

    def visit_BinOp(self, node):
        self.depth += 1
        self.generic_visit(node)

    def report(self):
        LOG.append(self.names)


class Renamer(ast.NodeTransformer):
    """Changes what it visits."""

    def visit_Name(self, node):
        node.id = "x"
        return node


class Replacer(ast.NodeTransformer):
    """Gives other nodes in the place of what it visits."""

    def visit_Name(self, node):
        return ast.Constant(self.generic_visit(node).id)


@contextlib.contextmanager
def around():
    """Note what it is around."""
    LOG.append(1)  # <- _is_decorated_with_a_generator_that_appends
    yield


@contextlib.contextmanager
def quietly():
    """Note nothing."""
    yield


class Subclassed:
    """Knows its subclasses."""

    def __init_subclass__(cls, **options):
        LOG.append(cls)  # <- _makes_a_subclass_that_is_registered


class Named:
    """Knows its name."""

    def __set_name__(self, owner, name):
        LOG.append(name)  # <- _makes_a_class_of_what_notes_its_name


class Counting(type):
    """Counts its classes."""

    def __new__(meta, name, bases, members):
        SEEN.add(name)  # <- _makes_a_class_that_is_counted
        return super().__new__(meta, name, bases, members)


class Matched:
    """Notes who asks, if he asks by a pattern."""

    __match_args__ = ("noted",)

    @property
    def noted(self):
        LOG.append(1)  # <- _matches_a_property_by_its_position
        return 1


class Partial:
    """Has methods that are made of others."""

    def _put(self, key):
        LOG.append(key)  # <- _calls_a_partial_method

    def _get(self, key):
        return key

    put = functools.partialmethod(_put, 1)
    get = functools.partialmethod(_get, 1)


class Printed:
    """Notes that it is printed."""

    def __format__(self, how):
        LOG.append(how)  # <- _formats_what_notes_it
        return how


class Ending:
    """Notes its end."""

    def __del__(self):
        LOG.append("gone")  # <- _makes_what_notes_its_end


class Tattler:
    """Notes what is done to it."""

    def __getattr__(self, name):
        LOG.append(name)  # <- _asks_for_an_attribute_that_is_made_up
        return name

    def __reversed__(self):
        LOG.append("reversed")  # <- _goes_backwards_through_what_notes_it
        return iter(())

    def __await__(self):
        LOG.append("awaited")  # <- _awaits_what_notes_it
        yield

    def __enter__(self):
        LOG.append("entered")  # <- _enters_what_notes_it_on_a_stack

    def __exit__(self, *_):
        return None


class MadeUp:
    """Makes up attributes, and has one."""

    def __init__(self):
        self.own = 1

    def __getattr__(self, name):
        LOG.append(name)
        return name


@functools.lru_cache
def remembered(x):
    """Give it again."""
    return x


class Transaction:
    """Notes its end."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        LOG.append("end")  # <- _enters_its_own_transaction_on_a_stack

    def close(self):
        LOG.append("closed")  # <- _closes_what_notes_it


class Lenient(enum.Enum):
    """Notes what it does not know."""

    KNOWN = 1

    @classmethod
    def _missing_(cls, value):
        LOG.append(value)  # <- _asks_for_a_member_that_is_missing
        return cls.KNOWN


class CountingAdapter(logging.LoggerAdapter):
    """Counts what is logged."""

    count = 0

    def process(self, msg, kwargs):
        self.count += 1  # <- _logs_by_an_adapter_that_counts
        return msg, kwargs


class Told:
    """Notes that it is told."""

    def __str__(self):
        LOG.append("told")  # <- _logs_what_notes_it
        return "told"


class Tee:
    """Keeps what is written to it."""

    def write(self, text):
        LOG.append(text)  # <- _prints_to_a_stream_of_its_own_class


class Writer(Tee):
    """The same for csv."""

    def write(self, text):
        ROWS.append(text)  # <- _writes_rows_to_a_stream_of_its_own_class


class Sly(type):
    """Notes who asks."""

    def __instancecheck__(cls, instance):
        LOG.append(instance)  # <- _asks_a_class_that_notes_it
        return False


class Nosy(metaclass=Sly):
    """Notes who asks."""


class Numbered:
    """Numbers what it is asked for."""

    def __class_getitem__(cls, key):
        return CACHE.setdefault(key, len(CACHE))  # <- _takes_an_item_of_a_class_that_numbers_them


class Target:
    """Notes what a parser finds."""

    def start(self, tag, attributes):
        LOG.append(tag)  # <- _parses_for_a_target_that_notes_it

    def close(self):
        return None


@np.vectorize
def VECTORIZED(x):
    """Note what it is given."""
    LOG.append(x)  # <- _appends_in_a_vectorized_function
    return x


ADAPTER = CountingAdapter(LOGGER, {})
TATTLER = Tattler()
MADE_UP = MadeUp()
PARTIAL = Partial()
PRINTED = Printed()


class LinkParser(html.parser.HTMLParser):
    """Appends to what it was given."""

    def __init__(self, out):
        super().__init__()
        self.out = out

    def handle_starttag(self, tag, attrs):
        self.out.append(tag)  # <- _parses_with_a_class_that_fills_what_it_was_given


class NotingEncoder(json.JSONEncoder):
    """Appends to a global list."""

    def default(self, o):
        LOG.append(o)  # <- _encodes_with_a_class_that_appends
        return 1


class SetEncoder(json.JSONEncoder):
    """Lists sets."""

    def default(self, o):
        return sorted(o)


class NotingThread(threading.Thread):
    """Appends to a global list."""

    def __init__(self, x):
        super().__init__()
        self.x = x

    def run(self):
        LOG.append(self.x)  # <- _starts_a_thread_of_a_class_that_appends


class NotingHandler(logging.Handler):
    """Appends to a global list."""

    def emit(self, record):
        LOG.append(record)  # <- _handles_a_record_with_a_class_that_appends


class NotingContent(xml.sax.ContentHandler):
    """Appends to a global list."""

    def startElement(self, name, attrs):
        LOG.append(name)  # <- _parses_with_a_handler_that_appends


class NotingDict(collections.UserDict):
    """Appends to a global list."""

    def __setitem__(self, key, value):
        LOG.append(key)  # <- _fills_a_mapping_that_appends
        super().__setitem__(key, value)


class OwnDict(collections.UserDict):
    """Changes only itself."""

    def __setitem__(self, key, value):
        self.latest = key
        super().__setitem__(key, value)


class Noting:
    """Appends to a global list, whatever it is asked."""

    def __init__(self, n):
        self.n = n

    def __iter__(self):
        return self

    def __next__(self):
        LOG.append(self.n)  # <- _loops_over_an_iterator_of_its_own_that_notes
        self.n -= 1
        if not self.n:
            raise StopIteration
        return self.n

    def __getitem__(self, key):
        LOG.append(key)  # <- _gets_an_item_that_notes

    def __delitem__(self, key):
        LOG.append(key)  # <- _deletes_an_item_that_notes

    def __lt__(self, other):
        LOG.append(other)
        return True

    def __str__(self):
        LOG.append(self)  # <- _formats_what_notes
        return ""

    def __hash__(self):
        LOG.append(self)  # <- _has_keys_that_note
        return 1

    def __eq__(self, other):
        LOG.append(other)
        return True


class NotingMissing(dict):
    """Appends to a global list."""

    def __missing__(self, key):
        LOG.append(key)  # <- _misses_an_item_that_notes


class Descriptor:
    """Appends to a global list."""

    def __get__(self, instance, owner=None):
        LOG.append(instance)  # <- _reads_a_descriptor_that_notes

    def __set__(self, instance, value):
        LOG.append(value)  # <- _sets_a_descriptor_that_notes


class Described:
    """Has a descriptor."""

    value = Descriptor()


class Half:
    """A descriptor that changes nothing."""

    def __get__(self, instance, owner=None):
        return instance.n / 2


class Steps:
    """Changes only itself."""

    half = Half()

    def __init__(self, n):
        self.n = n
        self.table = {}

    def __iter__(self):
        return self

    def __next__(self):
        self.n -= 1
        if not self.n:
            raise StopIteration
        return self.n

    def __getitem__(self, key):
        return self.table.setdefault(key, [])

    def __setitem__(self, key, value):
        self.table[key] = value

    def __delitem__(self, key):
        del self.table[key]

    def __lt__(self, other):
        return self.n < other.n

    def __str__(self):
        self.text = str(self.n)
        return self.text

    def __hash__(self):
        return self.n

    def __eq__(self, other):
        return self.n == other.n


PARSER = LinkParser([])
GET_APPEND = operator.attrgetter("append")
PROXY = Proxy()
HANDLERS = {"a": handle, "b": handle_purely}
PURE_HANDLERS = {"a": handle_purely, "b": same}
COUNTING = Counter()
WATCHED = Guarded()


def append_to(items, item):
    """Change an argument."""
    items.append(item)


def append_deep(items, item):
    """Change an argument, by way of another function."""
    append_to(item=item, items=items)


def largest(items):
    """Change nothing."""
    return max(items, key=lambda item: item)


def logged(function):
    """Decorate, and note each call in a global list."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        LOG.append(args)  # <- _calls_a_decorated_function
        return function(*args, **kwargs)

    return wrapper


def checked(function):
    """Decorate, and change nothing."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        result = function(*args, **kwargs)
        if result is None:
            raise ValueError("nothing")
        return result

    return wrapper


@logged
def noted(x):
    """Square."""
    return x * x


@checked
def verified(x):
    """Square."""
    return x * x


@functools.lru_cache
def cached_square(x):
    """Square."""
    return x * x


@functools.lru_cache
def cached_note(x):
    """Square, and note it."""
    LOG.append(x)  # <- _calls_a_cached_function_with_effects
    return x * x


@functools.lru_cache(None)
def cached_store():
    """Give a list, the same one each time."""
    found = []
    found.append(1)
    return found


@functools.cache
def cached_settings():
    """Give an object, the same one each time."""
    return Counter(), {"n": 0}


@functools.cache
def cached_array(n):
    """Give an array, the same one each time."""
    return np.arange(n) * 2


@functools.cache
def cached_stream():
    """Give a random generator, the same one each time."""
    return random.Random(1)


@functools.lru_cache
def cached_words(text):
    """Give a number and texts, which nobody can change."""
    return len(text) * 2, text.strip() + "!", tuple(text.split())


class Lazy:
    """Makes what it has when it is asked for it first."""

    @functools.cached_property
    def rows(self):
        return [1]

    @functools.lru_cache  # noqa: B019
    def table(self, n):
        return {n: [n]}


LAZY = Lazy()


@contextlib.contextmanager
def noting(x):
    """Note."""
    LOG.append(x)  # <- _uses_a_context_manager_with_effects
    yield x


@contextlib.contextmanager
def doubling(x):
    """Give the double."""
    yield 2 * x


class Case(NamedTuple):
    """A function, and the arguments that it is to be judged with."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


CHANGES: list[Case] = []
PURE: list[Case] = []


def changes(*args, **kwargs):
    """Collect a function with an effect."""

    def collect(function):
        CHANGES.append(Case(function, args, kwargs))
        return function

    return collect


def pure(*args, **kwargs):
    """Collect a function with none."""

    def collect(function):
        PURE.append(Case(function, args, kwargs))
        return function

    return collect


# --- functions with effects ------------------------------------------------------------------------------------


@changes(1)
def _appends_to_a_global_list(x):
    LOG.append(x)  # <-


@changes(1)
def _stores_into_a_global_dict(x):
    CACHE[x] = x * x  # <-


@changes(1)
def _memoizes_by_hand(x):
    if x not in CACHE:
        CACHE[x] = x * x  # <-
    return CACHE[x]


@changes(1)
def _counts_in_a_global(x):
    global COUNTER
    COUNTER += x  # <-


@changes(1)
def _counts_in_a_dict_item(x):
    TABLE["a"] += x  # <-


@changes(1)
def _deletes_from_a_global_dict(x):
    del CACHE[x]  # <-


@changes(1)
def _adds_to_a_global_set(x):
    if x > 2:
        SEEN.add(x)  # <-


@changes(1)
def _extends_a_global_list_in_place(x):
    log = LOG
    log += [x]  # <-


@changes(Counter())
def _sets_an_attribute_of_an_argument(thing):
    thing.count = 1  # <-


@changes(Counter())
def _appends_to_an_attribute_of_an_argument(thing):
    thing.items.append(1)  # <-


@changes(Counter())
def _grows_a_field_by_an_alias(thing):
    items = thing.items
    items += [1]  # <-


@changes(np.zeros(3))
def _adds_to_an_array_in_place(x):
    x += 1  # <-
    return x


@changes([1, 2])
def _adds_to_a_list_in_place(x):
    x += [1]  # <-
    return x


@changes(np.zeros(3))
def _fills_an_array_by_slice(x):
    x[:] = 0  # <-


@changes(np.zeros(3), 1)
def _stores_an_item(x, i):
    x[i] = 0  # <-


@changes(np.zeros(3))
def _adds_to_an_item(x):
    x[0] += 1  # <-


@changes(np.zeros(3))
def _sorts_an_array(x):
    x.sort()  # <-


@changes(np.zeros(3))
def _fills_an_array(x):
    x.fill(1)  # <-


@changes(np.zeros(3), np.zeros(3))
def _writes_to_out(a, b):
    np.add(a, b, out=a)  # <-


@changes(np.zeros(3), np.zeros(3))
def _writes_to_a_positional_out(a, b):
    np.add(a, 1, b)  # <-


@changes(np.zeros(3), 1)
def _copies_into_an_array(x, y):
    np.copyto(x, y)  # <-


@changes([3, 1, 2])
def _shuffles_with_random(x):
    random.shuffle(x)  # <-


@changes(np.zeros(3))
def _shuffles_with_numpy(x):
    np.random.shuffle(x)  # <-


@changes([], 1)
def _pushes_to_a_heap(heap, x):
    heapq.heappush(heap, x)  # <-


@changes([], 1)
def _inserts_sorted(items, x):
    bisect.insort(items, x)  # <-


@changes([0])
def _stores_with_operator(items):
    operator.setitem(items, 0, 1)  # <-


@changes(Counter())
def _sets_with_setattr(thing):
    setattr(thing, "count", 1)  # <-  # noqa: B010


@changes([])
def _appends_by_the_class(items):
    list.append(items, 1)  # <-


@changes({})
def _updates_by_the_class(table):
    dict.update(table, a=1)  # <-


@changes([1, 2])
def _deletes_an_item(items):
    del items[0]  # <-


@changes([1, 2])
def _appends_by_an_alias(x):
    y = x
    y.append(1)  # <-


@changes([[1], [2]])
def _appends_to_elements(rows):
    for row in rows:
        row.append(1)  # <-


@changes([[1], [2]])
def _appends_to_elements_of_a_copy(rows):
    for row in list(rows):
        row.append(1)  # <-


@changes([[1], [2]])
def _appends_to_enumerated_elements(rows):
    for i, row in enumerate(rows):
        row.append(i)  # <-


@changes(([1], [2]))
def _unpacks_and_stores(x):
    _a, b = x
    b[0] = 1  # <-


@changes(([1], [2], [3]))
def _unpacks_a_rest_and_stores(x):
    _a, *b = x
    b[0].append(1)  # <-


@changes(np.zeros((3, 3)))
def _stores_into_a_view(x):
    x[1:][0] = 1  # <-


@changes(np.zeros((3, 3)))
def _adds_to_rows(x):
    for row in x:
        row += 1  # <-


@changes(np.zeros((3, 3)))
def _stores_into_a_reshaped_view(x):
    y = x.reshape(-1)
    y[0] = 1  # <-


@changes(np.zeros((3, 3)))
def _stores_into_a_transposed_view(x):
    x.T[0] = 1  # <-


@changes(np.zeros(3))
def _stores_into_what_asarray_gave(x):
    y = np.asarray(x)
    y[0] = 1  # <-


@changes([1])
def _appends_with_a_walrus(x):
    if (y := x) is not None:
        y.append(1)  # <-


@changes([1], [2])
def _appends_to_one_of_two(a, b):
    target = a if len(a) > 1 else b
    target.append(1)  # <-


@changes(1)
def _keeps_in_a_default(x, cache=[]):
    cache.append(x)  # <-
    return len(cache)


@changes(1)
def _counts_on_itself(x):
    _counts_on_itself.count += 1  # <-


@changes(1)
def _counts_on_a_class(x):
    Counter.total += x  # <-


@changes(1)
def _appends_to_a_list_of_a_fresh_instance_that_is_shared(x):
    thing = Counter()
    thing.shared.append(x)  # <-


@changes([1])
def _passes_to_a_function_that_appends(x):
    append_to(x, 1)


@changes(1)
def _passes_a_global_two_functions_deep(x):
    append_deep(LOG, x)


@changes(1, LOG.append)
def _calls_back_a_method_that_appends(x, report):
    report(x)  # <-


@changes(1, lambda x: LOG.append(x))
def _calls_back_a_lambda_that_appends(x, report):
    report(x)


@changes(1)
def _calls_a_bound_method(x):
    PUSH(x)  # <-


@changes([1, 2])
def _maps_a_method(xs):
    return list(map(LOG.append, xs))  # <-


@changes([1, 2])
def _sorts_with_a_key_that_appends(xs):
    return sorted(xs, key=lambda x: LOG.append(x) or x)  # <-


@changes([1, 2])
def _appends_in_a_comprehension(xs):
    return [LOG.append(x) for x in xs]  # <-


@changes([1, 2])
def _appends_in_a_generator(xs):
    return sum(LOG.append(x) or x for x in xs)  # <-


@changes(1)
def _appends_in_an_inner_function(x):
    def inner():
        LOG.append(x)  # <-

    inner()


@changes(1)
def _appends_in_an_inner_class(x):
    class Inner:
        def note(self):
            LOG.append(x)  # <-

    Inner().note()


@changes(1)
def _takes_a_captured_lock(x):
    with GUARD:  # <-
        return x


@changes(1)
def _writes_to_an_open_stream(x):
    STREAM.write(str(x))  # <-


@changes(1)
def _puts_into_a_queue(x):
    INBOX.put(x)  # <-


@changes(1)
def _takes_from_a_generator(x):
    return next(NUMBERS) + x  # <-


@changes(1)
def _takes_from_an_iterator(x):
    return next(IDS) + x  # <-


@changes(1)
def _loops_over_a_captured_generator(x):
    for n in NUMBERS:  # <-
        x += n
    return x


@changes(iter([1, 2]))
def _uses_up_an_argument(numbers):
    return sum(n for n in numbers)  # <-


@changes(1)
def _sets_a_thread_local(x):
    LOCAL.value = x  # <-


@changes(1)
def _sets_a_context_variable(x):
    VARIABLE.set(x)  # <-


@changes(1)
def _sets_the_environment(x):
    os.environ["X"] = str(x)  # <-


@changes("/")
def _changes_directory(path):
    os.chdir(path)  # <-


@changes("/")
def _extends_the_path(path):
    sys.path.append(path)  # <-


@changes(1)
def _draws_from_the_global_stream(x):
    return random.random() * x  # <-


@changes(1)
def _draws_an_integer_from_the_global_stream(x):
    return random.randint(0, x)  # <-


@changes(1)
def _draws_from_the_global_stream_of_numpy(x):
    return np.random.rand(x)  # <-


@changes(1)
def _draws_from_a_captured_stream(x):
    return RANDOM.random() * x  # <-


@changes(1)
def _draws_from_a_captured_generator(x):
    return GENERATOR.normal(size=x)  # <-


@changes(1, random.Random(1))
def _draws_from_a_stream_in_an_argument(x, source):
    return x + source.random()  # <-


@changes(Counter())
def _calls_a_method_that_counts(thing):
    return thing.increment()


@changes(Counter())
def _calls_a_method_that_calls_a_method_that_appends(thing):
    thing.add_twice(1)


@changes(Counter())
def _reads_a_property_that_counts(thing):
    return thing.next_number


@changes(1)
def _calls_a_method_of_a_global_object(x):
    COUNTING.add(x)


@changes(1)
def _calls_a_global_object(x):
    return COUNTING(x)


@changes(1)
def _calls_a_class_method_that_appends(x):
    Counter.note(x)


@changes(1)
def _enters_a_counting_context(x):
    with WATCHED:
        return x


@changes(1)
def _makes_an_instance_that_is_registered(x):
    return Remembered()


@changes(1)
def _calls_super_that_appends(x):
    Derived(x).store(x)


@changes("a")
def _reads_a_defaultdict(key):
    return GROUPS[key]  # <-


@changes(collections.defaultdict(list), "a")
def _reads_a_defaultdict_argument(groups, key):
    return groups[key]  # <-


@changes({"a": [1]}, "a")
def _appends_to_what_get_gives(table, key):
    table.get(key).append(1)  # <-


@changes({"a": [1]})
def _appends_to_values(table):
    for _key, value in table.items():
        value.append(1)  # <-


@changes({}, "a")
def _sets_a_default(table, key):
    return table.setdefault(key, [])  # <-


@changes(1)
def _calls_a_decorated_function(x):
    return noted(x)


@changes(1)
def _calls_a_cached_function_with_effects(x):
    return cached_note(x)


@changes(1)
def _uses_a_context_manager_with_effects(x):
    with noting(x):
        return x


@changes([1], [2])
def _appends_to_an_argument_in_a_tuple(a, b):
    pair = (a, b)
    pair[1].append(1)  # <-


@changes([1])
def _appends_through_a_dict_of_its_own(x):
    box = {"x": x}
    box["x"].append(1)  # <-


@changes([1])
def _appends_through_an_instance_of_its_own(x):
    point = Point(1, 2, x)
    point.tags.append("a")  # <-


@changes([1], [2])
def _appends_to_each_of_star_args(*rows):
    for row in rows:
        row.append(1)  # <-


@changes(rows=[1])
def _appends_to_a_keyword(**options):
    options["rows"].append(1)  # <-


@changes([[1], [2]])
def _partial_of_a_method(rows):
    functools.partial(LOG.append, 1)()  # <-


@changes(1)
def _runs_code_from_text(x):
    exec("LOG.append(1)")  # <-


@changes(1)
def _writes_by_globals(x):
    globals()["COUNTER"] = x  # <-


@changes([1, 2, 3])
def _appends_when_it_fails(x):
    try:
        return x[5]
    except IndexError:
        LOG.append(x)  # <-
        raise


@changes([1, 2, 3])
def _appends_at_last(x):
    try:
        return x[5]
    finally:
        LOG.append(x)  # <-


@changes(3)
def _recurses_with_a_global(n, items=None):
    if items is None:
        return _recurses_with_a_global(n - 1, LOG)
    items.append(n)  # <-
    return items


@changes([3, [1]])
def _recurses_and_appends(tree):
    for branch in tree:
        _recurses_and_appends(branch)
    tree.append(0)  # <-


@changes({"type": "a", "rows": [1]})
def _matches_and_appends(message):
    match message:
        case {"type": "a", "rows": rows}:
            rows.append(1)  # <-


@changes(1)
def _calls_what_is_not_defined_yet(x):
    return not_defined_anywhere(x)  # type: ignore[name-defined]  # noqa: F821  # <-


@changes([1])
def _appends_by_a_partial(x):
    functools.partial(append_to, LOG)(x)


@changes([1])
def _appends_by_a_method_caller(x):
    operator.methodcaller("append", 1)(LOG)  # <-


@changes([1])
def _appends_by_getattr(x):
    getattr(x, "append")(1)  # noqa: B009  # <-


@changes([1])
def _appends_by_the_module(x):
    sys.modules[__name__].LOG.append(x)  # <-


@changes([1])
def _appends_with_spread_arguments(x):
    append_to(*[LOG, x])


@changes([1])
def _appends_with_spread_keywords(x):
    append_to(**{"items": x, "item": 1})


@changes(bytearray(b"abc"))
def _stores_by_a_memory_view(x):
    memoryview(x)[0] = 1  # <-


@changes({})
def _stores_by_a_chain_map(x):
    collections.ChainMap(x)["a"] = 1  # <-


@changes(np.zeros(3))
def _adds_at(x):
    np.add.at(x, [0], 1)  # <-


@changes(np.zeros(3))
def _clips_in_place(x):
    np.clip(x, 0, 1, x)  # <-


@changes(np.zeros(3))
def _clips_in_place_by_method(x):
    x.clip(0, 1, x)  # <-


@changes(np.zeros((3, 3)))
def _stores_on_a_diagonal(x):
    np.einsum("ii->i", x)[...] = 1  # <-


@changes(np.zeros(3))
def _stores_into_what_astype_gave(x):
    y = x.astype(float, copy=False)
    y[0] = 1  # <-


@changes(np.zeros(3))
def _replaces_nans_in_place(x):
    return np.nan_to_num(x, copy=False)  # <-


@changes(np.zeros(3))
def _writes_in_nditer(x):
    for v in np.nditer(x, op_flags=["readwrite"]):
        v[...] = 2  # <-


@changes(Counter())
def _counts_on_the_class_of_an_argument(thing):
    type(thing).total += 1  # <-


@changes(Counter())
def _counts_on_the_class_attribute_of_an_argument(thing):
    thing.__class__.total += 1  # <-


@changes(Counter())
def _stores_into_vars(thing):
    vars(thing)["count"] = 1  # <-


@changes(1)
def _sets_a_level(x):
    logging.getLogger("a").setLevel(x)  # <-


@changes(1)
def _sets_a_property_that_appends(x):
    Setting().value = x


@changes(1)
def _stores_an_item_that_appends(x):
    Setting()["a"] = x


@changes(1)
def _adds_with_an_operator_that_appends(x):
    return Setting() + x


@changes(1)
def _calls_a_made_up_method(x):
    PROXY.anything(x)  # <-


@changes("a")
def _calls_one_of_a_table(name):
    HANDLERS[name](1)


@changes(1)
def _starts_a_thread(x):
    thread = threading.Thread(target=LOG.append, args=(x,))  # <-
    thread.start()
    thread.join()


@changes([1], 3)
def _loops_into_an_item(x, n):
    for x[0] in range(n):  # <-
        pass


@changes([1])
def _appends_by_way_of_a_generator(x):
    def rows():
        yield x
        yield [2]

    for row in rows():
        row.append(1)  # <-


@changes([1])
def _appends_by_way_of_a_closure(x):
    def get():
        return x

    get().append(1)  # <-


@changes([1])
def _appends_by_way_of_a_return(x):
    same(x).append(1)  # <-


@changes([1])
def _appends_to_the_result_of_an_unknown_wrapper(x):
    functools.lru_cache(lambda: x)().append(1)  # <-


@changes(Node([Node([]), Node([])]))
def _marks_a_tree(node):
    node.seen = True  # <-
    for child in node.children:
        _marks_a_tree(child)


@changes(Node([Node([])]))
def _marks_the_last_of_a_chain(node):
    while node.children:
        node = node.children[0]
    node.seen = True  # <-


@changes([3, 1], print)
def _sorts_after_reading(x, _function):
    first = x[0]
    x = x if first else []
    x.sort()  # <-


@changes(1)
def _counts_with_a_decorated_class(x):
    return counted(x)


@changes({"a": 1})
def _pops_from_an_alias_in_a_conditional(d):
    e = d or {}
    e.pop("a")  # <-


@changes(1)
def _appends_in_a_default_factory(x):
    def note(y, log=LOG):
        log.append(y)  # <-

    note(x)


@changes(1)
async def _appends_in_a_coroutine(x):
    await appending(x)


@changes(Counter())
def _appends_to_an_attribute_of_a_shallow_copy(thing):
    copy.copy(thing).items.append(1)  # <-


@changes([[1]])
def _appends_to_an_element_of_a_shallow_copy(rows):
    copy.copy(rows)[0].append(1)  # <-


@changes(1)
def _appends_to_a_list_of_a_module_not_loaded(x):
    import antigravity

    antigravity.flights.append(x)  # <-


@changes(Node([]))
def _appends_by_attrgetter(thing):
    operator.attrgetter("children")(thing).append(1)  # <-


@changes([1])
def _maps_a_partial(xs):
    return list(map(functools.partial(append_to, LOG), xs))


@changes([1, 2])
def _empties_a_global(x):
    del LOG[:]  # <-


@changes([1, 2])
def _chooses_with_a_key_that_appends(xs):
    return min(xs, key=LOG.append)  # <-


@changes([1], 1)
def _appends_in_an_except_branch(x, n):
    target = []
    try:
        target = x
        int(n)
        target = []
    except ValueError:
        target.append(1)  # <-


@changes(1)
def _appends_to_what_a_cache_keeps(x):
    cached_store().append(x)  # <-


@changes(1)
def _adds_in_place_to_what_a_cache_keeps(x):
    found = cached_store()
    found += [x]  # <-


@changes(1)
def _counts_in_what_a_cache_keeps(x):
    cached_settings()[1]["n"] += x  # <-


@changes(1)
def _counts_in_an_object_that_a_cache_keeps(x):
    cached_settings()[0].increment()


@changes(3)
def _scales_an_array_that_a_cache_keeps(n):
    array = cached_array(n)
    array *= 2  # <-


@changes(3)
def _sorts_an_array_that_a_cache_keeps(n):
    cached_array(n).sort()  # <-


@changes(3)
def _draws_from_a_stream_that_a_cache_keeps(n):
    return cached_stream().random()  # <-


@changes(3)
def _appends_to_a_property_that_is_kept(x):
    LAZY.rows.append(x)  # <-


@changes(3)
def _appends_to_what_a_method_keeps(x):
    LAZY.table(x)[x].append(x)  # <-


@changes(1)
def _adds_an_element_to_a_tree(x):
    ElementTree.SubElement(ROOT, "item").text = str(x)  # <-


@changes(io.StringIO(), [1])
def _dumps_to_a_stream(stream, x):
    json.dump(x, stream)  # <-


@changes(io.StringIO(), [1])
def _writes_rows_to_a_stream(stream, x):
    csv.writer(stream).writerow(x)  # <-


@changes(np.zeros(8), io.BytesIO())
def _puts_an_array_into_a_stream(array, stream):
    array.tofile(stream)  # <-


@changes(1)
def _writes_to_an_output_among_keywords(x):
    options = {"where": True}
    options["out"] = ARRAY
    np.add(ARRAY, x, **options)  # <-


@changes(1)
def _writes_to_an_output_in_a_dict(x):
    np.add(ARRAY, x, **dict(out=ARRAY))  # <-  # noqa: C408


@changes(1)
def _writes_to_an_output_in_a_global_dict(x):
    np.add(ARRAY, x, **OUTPUT)  # <-


@changes(b"abc")
def _compresses_with_what_was_fed_before(x):
    return COMPRESSOR.compress(x)  # <-


@changes("x")
def _adds_a_section(name):
    CONFIG.add_section(name)  # <-


@changes("handle")
def _calls_a_function_of_an_imported_module(name):
    return importlib.import_module(__name__).handle(name)


@changes("handle")
def _calls_a_function_of_an_unknown_module(name):
    return importlib.import_module(name).handle(name)  # <-


@changes("append")
def _calls_a_method_by_name(name):
    getattr(LOG, name)(1)  # <-


@changes([1], "append")
def _calls_a_method_of_an_argument_by_name(items, name):
    getattr(items, name)(1)  # <-


@changes("note")
def _dispatches_to_a_method_that_notes(name):
    return Visitor([]).visit(name)


@changes("note", Visitor([]))
def _dispatches_to_a_method_of_an_argument_that_counts(name, visitor):
    return getattr(visitor, f"count_{name}")(name)


@changes("a")
def _dispatches_to_a_function_that_appends(name):
    return getattr(MODULE, "append_for_" + name)(name)


@changes(1)
def _appends_by_an_attrgetter(x):
    operator.attrgetter("append")(LOG)(x)  # <-


@changes(1)
def _appends_by_a_global_attrgetter(x):
    GET_APPEND(LOG)(x)  # <-


@changes(1)
def _updates_the_namespace_of_a_module(x):
    vars(sys.modules[__name__]).update(COUNTER=x)  # <-


@changes("a+b")
def _visits_nodes_with_a_class_that_appends(text):
    NotingVisitor().visit(ast.parse(text))


@changes("<a>")
def _parses_with_a_class_that_fills_what_it_was_given(text):
    LinkParser(LOG).feed(text)


@changes("<a>")
def _parses_with_a_parser_that_lasts(text):
    PARSER.feed(text)  # <-


@changes({1})
def _encodes_with_a_class_that_appends(x):
    return json.dumps(x, cls=NotingEncoder)


@changes(1)
def _starts_a_thread_of_a_class_that_appends(x):
    NotingThread(x).start()


@changes(1)
def _handles_a_record_with_a_class_that_appends(x):
    NotingHandler().handle(logging.makeLogRecord({}))


@changes(1)
def _fills_a_mapping_that_appends(x):
    NotingDict().update({x: 1})


@changes("<a/>")
def _parses_with_a_handler_that_appends(text):
    xml.sax.parseString(text, NotingContent())


@changes(ast.parse("a"))
def _transforms_a_tree_of_an_argument(tree):
    return Renamer().visit(tree)  # <-


@changes(ast.parse("a"))
def _replaces_nodes_of_an_argument(tree):
    return Replacer().visit(tree)  # <-


@changes(1)
@around()
def _is_decorated_with_a_generator_that_appends(x):
    return x


@changes(np.zeros(3))
def _appends_in_one_of_the_functions_of_pieces(array):
    return np.piecewise(array, [array < 0], [lambda x: LOG.append(x) or x, abs])  # <-


@changes("<a/>")
def _appends_in_a_handler_of_a_parser(text):
    parser = xml.parsers.expat.ParserCreate()
    parser.StartElementHandler = lambda name, attributes: LOG.append(name)  # <-
    parser.Parse(text, True)


@changes(1)
def _makes_a_subclass_that_is_registered(x):
    class Sub(Subclassed):
        pass

    return Sub


@changes(1)
def _makes_a_class_of_what_notes_its_name(x):
    class Holder:
        field = Named()

    return Holder


@changes(1)
def _makes_a_class_that_is_counted(x):
    class Counted(metaclass=Counting):
        pass

    return Counted


@changes(1)
def _makes_a_registered_class_by_a_call(x):
    class Noted:
        def __init_subclass__(cls):
            LOG.append(cls)  # <-

    class Sub(Noted):
        pass

    return Sub


@changes(Matched())
def _matches_a_property_by_its_position(thing):
    match thing:
        case Matched(1):
            return True


@changes(1)
def _calls_a_partial_method(x):
    return PARTIAL.put()


@changes(1)
def _makes_what_notes_its_end(x):
    Ending()


@changes(1)
def _asks_for_an_attribute_that_is_made_up(x):
    return TATTLER.colour


@changes(1)
def _goes_backwards_through_what_notes_it(x):
    return list(reversed(TATTLER))


@changes(1)
def _awaits_what_notes_it(x):
    async def wait():
        await TATTLER

    asyncio.run(wait())


@changes(1)
def _enters_what_notes_it_on_a_stack(x):
    with contextlib.ExitStack() as stack:
        stack.enter_context(TATTLER)


@changes(1)
def _empties_a_cache(x):
    remembered.cache_clear()  # <-


@changes(1)
def _enters_its_own_transaction_on_a_stack(x):
    with contextlib.ExitStack() as stack:
        stack.push(Transaction())


@changes(1)
def _closes_what_notes_it(x):
    with contextlib.closing(Transaction()):
        return x


@changes(2)
def _asks_for_a_member_that_is_missing(x):
    return Lenient(x)


@changes(1)
def _logs_by_an_adapter_that_counts(x):
    ADAPTER.info("%s", x)


@changes(1)
def _logs_what_notes_it(x):
    LOGGER.info("%s", Told())


@changes(1)
def _prints_to_a_stream_of_its_own_class(x):
    print(x, file=Tee())


@changes(1)
def _writes_rows_to_a_stream_of_its_own_class(x):
    csv.writer(Writer()).writerow([x])


@changes(1)
def _asks_a_class_that_notes_it(x):
    return isinstance(x, (int, Nosy))


@changes(1)
def _takes_an_item_of_a_class_that_numbers_them(x):
    return Numbered[x]


@changes("<a/>")
def _parses_for_a_target_that_notes_it(text):
    ElementTree.XMLParser(target=Target()).feed(text)


@changes("1")
def _appends_in_an_action_of_a_scanner(text):
    return re.Scanner([(r"[0-9]", lambda scanner, token: LOG.append(token))]).scan(text)  # <-


@changes(1)
def _appends_in_a_vectorized_function(x):
    return VECTORIZED(x)


@changes(1)
def _writes_into_an_array_over_a_buffer(x):
    np.ndarray((8,), float, ARRAY)[0] = x  # <-


@changes(1)
def _calls_a_mock(x):
    MOCK(x)  # <-


@changes(1)
def _formats_what_notes_it(x):
    return "{:d}".format(PRINTED)


@changes(1)
def _appends_to_what_a_context_variable_holds(x):
    HELD.get().append(x)  # <-


@changes(1)
def _reads_the_standard_input(x):
    return sys.stdin.readline()  # <-


@changes(1)
def _sets_the_precision(x):
    decimal.getcontext().prec = x  # <-


@changes(1)
def _disables_a_logger(x):
    LOGGER.disabled = True  # <-


@changes(1)
def _disables_a_logger_by_name(x):
    logging.getLogger("a").disabled = True  # <-


@changes(1)
def _adds_a_handler_to_the_list_of_a_logger(x):
    logging.getLogger("a").handlers.append(x)  # <-


@changes(1)
def _appends_to_a_member_of_an_enumeration(x):
    Holding.ITEMS.value.append(x)  # <-


@changes(3)
def _loops_over_an_iterator_of_its_own_that_notes(x):
    return sum(v for v in Noting(x))


@changes(3)
def _gets_an_item_that_notes(x):
    return Noting(x)[1]


@changes(3)
def _deletes_an_item_that_notes(x):
    thing = Noting(x)
    del thing[1]


@changes(3)
def _misses_an_item_that_notes(x):
    return NotingMissing()[x]


@changes(3)
def _sorts_what_notes(x):
    return sorted([Noting(x), Noting(2)])


@changes(3)
def _formats_what_notes(x):
    return "%s" % Noting(x)


@changes(3)
def _formats_by_method_what_notes(x):
    return f"{Noting(x)}"


@changes(3)
def _has_keys_that_note(x):
    return {Noting(x): 1}


@changes(3)
def _looks_for_what_notes(x):
    return x in [Noting(x)]


@changes(3)
def _reads_a_descriptor_that_notes(x):
    return Described().value


@changes(3)
def _sets_a_descriptor_that_notes(x):
    Described().value = x


@changes(3)
def _draws_with_a_function_of_scipy(x):
    from scipy.optimize import differential_evolution

    return differential_evolution(abs, [(-x, x)]).fun  # <-


@changes(3)
def _draws_a_sparse_matrix(x):
    import scipy.sparse

    return scipy.sparse.random(x, x)  # <-


@changes("name")
def _draws_a_sample_of_a_table(path):
    import pandas

    return pandas.read_csv(path).sample(3)  # <-


@changes([1, 2])
def _splits_at_random(rows):
    import sklearn.model_selection

    return sklearn.model_selection.train_test_split(rows)  # <-


# --- pure functions that look alike ----------------------------------------------------------------------------


@pure(3)
def _appends_to_a_local_list(n):
    out = []
    for i in range(n):
        out.append(i)
    return out


@pure("abca")
def _stores_into_a_local_dict(text):
    counts = {}
    for letter in text:
        counts[letter] = counts.get(letter, 0) + 1
    return counts


@pure("abca")
def _counts_in_a_local_defaultdict(text):
    groups = collections.defaultdict(list)
    for letter in text:
        groups[letter].append(letter)
    return groups


@pure([1, 2])
def _builds_a_new_list(x):
    return [*x, 1]


@pure([1, 2])
def _adds_to_a_copy(x):
    y = list(x)
    y.append(1)
    y[0] = 5
    return y


@pure([1, 2])
def _rebinds_its_argument_to_a_copy(x):
    x = x.copy()
    x.append(1)
    return x


@pure([3, 1, 2])
def _sorts_a_copy(x):
    y = list(x)
    y.sort()
    return sorted(x), y


@pure([1, 2])
def _stores_into_a_slice_copy(x):
    y = x[1:]
    y[0] = 1
    return y


@pure(np.zeros(3))
def _adds_to_a_new_array(x):
    y = x + 1
    y += 1
    y[0] = 2
    y[1] += 2
    return y


@pure(np.zeros((3, 3)))
def _adds_to_a_copy_of_an_array(x):
    y = x.copy()
    y[0] += 1
    y.sort()
    return y


@pure(np.zeros((3, 3)))
def _writes_to_an_array_of_its_own(x):
    out = np.empty_like(x)
    np.add(x, 1, out=out)
    np.multiply(out, 2, out)
    out[:] = out * 2
    return out


@pure(5)
def _adds_to_a_number(x):
    x += 1
    return x


@pure("a")
def _adds_to_a_string(x):
    x += "b"
    return x


@pure(5)
def _counts_down(n):
    total = 0
    while n > 0:
        total += n
        n -= 1
    return total


@pure([1, 2, 3])
def _sums_in_a_loop(x):
    total = 0
    for v in x:
        total += v
    return total


@pure([1, 2, 3])
def _changes_loop_variables(x):
    out = []
    for v in x:
        v *= 2
        out.append(v)
    return out


@pure(np.zeros(3))
def _changes_scalars_of_an_array(x):
    total = 0.0
    for v in x:
        v += 1
        total += v
    return total


@pure(np.zeros((3, 4)))
def _counts_with_a_shape(x):
    height, width = x.shape
    height += 1
    n = x.size
    n += 1
    return height * width


@pure("a")
def _reads_a_global(key):
    return TABLE[key] + LIMIT + len(SETTINGS["names"])


@pure("a b")
def _calls_pure_methods(s):
    return s.upper().split(), s.strip().replace("a", "b").partition(" ")


@pure({"a": 1}, "a")
def _reads_a_dict(d, k):
    return d.get(k), d[k], list(d.items()), k in d


@pure(np.zeros((3, 3)))
def _calls_pure_methods_of_an_array(x):
    return x.sum() + x.mean(axis=0) + np.linalg.norm(x) + x.reshape(-1).max()


@pure(Counter())
def _calls_a_pure_method(thing):
    return thing.doubled() + thing.half + thing.total_of([1]) + thing.double(2)


@pure(Vector(1, 2), Vector(3, 4))
def _calls_a_pure_method_with_the_name_of_a_change(a, b):
    return a.add(b)


@pure(2)
def _changes_an_instance_of_its_own(x):
    thing = Counter(x)
    thing.count += 1
    thing.increment()
    thing.add_twice(x)
    other = Counter.make(x)
    other.items.append(1)
    return thing.plus(1).increment()


@pure(2)
def _makes_a_dataclass(x):
    point = Point(x)
    point.tags.append("a")
    point.x += 1
    return point, Pair(x, x)


@pure(2)
def _makes_a_derived_instance(x):
    return Derived(x).value()


@pure([1, 2])
def _passes_a_list_of_its_own_to_a_function_that_appends(x):
    out = []
    append_to(out, 1)
    append_deep(out, x)
    return out, largest(x)


@pure(1, math.sqrt)
def _calls_a_pure_callback(x, function):
    return function(x)


@pure(1, lambda x: x * 2)
def _calls_a_pure_lambda(x, function):
    return function(x)


@pure([1, 2])
def _uses_callables_that_change_nothing(xs):
    return (
        list(map(str, xs)),
        sorted(xs, key=lambda x: -x),
        functools.reduce(lambda a, b: a + b, xs),
        max(xs, key=operator.neg),
        list(filter(None, xs)),
    )


@pure([1, 2])
def _appends_by_a_method_of_its_own(xs):
    out = []
    push = out.append
    for x in xs:
        push(x)
    list(map(out.append, xs))
    return out


@pure(3)
def _changes_a_closure_of_its_own(n):
    total = 0
    seen = []

    def add(x):
        nonlocal total
        total += x
        seen.append(x)

    for i in range(n):
        add(i)
    return total, seen


@pure(3)
def _keeps_nothing_in_a_default(x, out=None):
    if out is None:
        out = []
    out.append(x)
    return out


@pure(3)
def _recurses(n):
    return n if n < 2 else _recurses(n - 1) + _recurses(n - 2)


@pure(3)
def _recurses_with_a_list_of_its_own(n, items=None):
    if items is None:
        return _recurses_with_a_list_of_its_own(n - 1, [])
    items.append(n)
    return items


@pure(3)
def _draws_from_a_stream_of_its_own(seed):
    source = random.Random(seed)
    items = [1, 2, 3]
    source.shuffle(items)
    generator = np.random.default_rng(seed)
    return source.random() + generator.normal() + sum(items)


@pure("a")
def _takes_a_lock_of_its_own(x):
    with threading.Lock():
        return x


@pure("name")
def _writes_a_file(path):
    with open(path, "w") as stream:
        stream.write("a")
        print("b", file=stream)


@pure("name")
def _logs_and_prints(x):
    LOGGER.warning("%s", x)
    logging.info("%s", x)
    print(x)
    sys.stdout.write(x)


@pure("aaab")
def _matches_a_pattern(text):
    return PATTERN.sub(lambda m: m.group().upper(), text), re.findall("b", text)


@pure({"a": [1]})
def _encodes(x):
    text = json.dumps(x)
    parsed = json.loads(text)
    parsed["a"].append(2)
    return zlib.compress(text.encode()), hashlib.sha256(text.encode()).hexdigest()


@pure([[1]])
def _changes_a_deep_copy(rows):
    mine = copy.deepcopy(rows)
    mine[0].append(1)
    return mine


@pure([[1, 2], [3]])
def _copies_each_row(rows):
    return [sorted(row) + [v + 1 for v in row] for row in rows]


@pure(3)
def _calls_a_cached_function(x):
    return cached_square(x) + verified(x)


@pure("a b")
def _uses_numbers_and_texts_that_a_cache_keeps(text):
    count, line, words = cached_words(text)
    count += 1
    line += "?"
    words += ("c",)
    return count, line.upper(), words, cached_square(count) + 1


@pure(3)
def _changes_copies_of_what_a_cache_keeps(x):
    found = list(cached_store())
    found.append(x)
    array = cached_array(x).copy()
    array += sum(LAZY.rows) + len(LAZY.table(x)[x])
    own = Lazy()
    own.rows.append(x)
    return found, array, cached_settings()[0].doubled() + cached_settings()[1]["n"]


@pure([1])
def _writes_to_what_is_its_own(rows):
    root = ElementTree.Element("root")
    ElementTree.SubElement(root, "item").text = "a"
    stream = io.StringIO()
    json.dump(rows, stream)
    csv.writer(stream).writerow(rows)
    out = np.zeros(8)
    np.add(ARRAY, 1, **{"out": out})
    config = configparser.ConfigParser()
    config.add_section("a")
    return root, stream.getvalue(), out, config, zlib.compressobj().compress(b"a")


@pure("name", [1])
def _saves_to_a_file(path, rows):
    np.zeros(8).tofile(path)
    np.save(path, rows)
    ARRAY.tofile(path)
    with open(path, "w") as stream:
        json.dump(rows, stream)
        csv.writer(stream).writerow(rows)


@pure("square")
def _dispatches_to_methods_that_change_only_itself(name):
    visitor = Visitor([])
    return visitor.collected(name), getattr(visitor, "count_" + name)(name)


@pure("square", Visitor([]))
def _dispatches_to_pure_methods_of_an_argument(name, visitor):
    return getattr(visitor, "pure_" + name, None)(name), getattr(visitor, name + "s", 0)


@pure("sqrt", "info")
def _calls_pure_functions_by_name(name, level):
    getattr(LOGGER, level)("%s", name)
    return getattr(math, name)(2), getattr(name, level)(), importlib.import_module("math").sqrt(2)


@pure("a")
def _reads_attributes_by_name(name):
    return getattr(COUNTING, name), vars(Point(1.0))["x"], dict(vars(COUNTING)), operator.attrgetter("items")(COUNTING)


@pure("b")
def _dispatches_to_pure_functions(name):
    return getattr(MODULE, "append_to_none_" + name)(name)


@pure("a+b")
def _visits_nodes_and_collects(text):
    visitor = CollectingVisitor()
    visitor.visit(ast.parse(text))
    return visitor.names, Renamer().visit(ast.parse(text))


@pure("<a>")
def _parses_and_collects(text):
    parser = LinkParser([])
    parser.feed(text)
    return parser.out


@pure({1})
def _encodes_with_a_class_of_its_own(x):
    own = OwnDict(a=1)
    own.update({2: 3})
    return json.dumps(sorted(x), cls=SetEncoder), own


@pure(3)
def _reads_settings_of_the_process(x):
    with decimal.localcontext() as context:
        context.prec = x
        digits = decimal.Decimal(1) / x
    logging.getLogger("a").getChild("b").info("%s", x)
    return digits, decimal.getcontext().prec, VARIABLE.get() + x, VARIABLE.get(None), Shade.DARK.value[0]


@pure(3)
def _tells_where_it_runs(x):
    return os.getpid(), threading.current_thread().name, threading.get_ident(), x


@pure(3)
def _uses_special_methods_of_its_own(x):
    steps = [v for v in Steps(x)]
    chosen = sorted([Steps(x), Steps(2)]), max(Steps(1), Steps(2)), {Steps(x): 1}, Steps(2) in [Steps(x)]
    thing = Steps(x)
    thing[1] = 2
    del thing[1]
    return steps, chosen, thing[3], "%s %s" % (thing, x), f"{thing}", thing.half


@pure([1, 2], "name")
def _draws_with_seeds(rows, path):
    import pandas
    import scipy.optimize
    import scipy.sparse
    import sklearn.model_selection

    return (
        scipy.optimize.differential_evolution(abs, [(-1, 1)], seed=1).fun,
        scipy.sparse.random(2, 2, random_state=1),
        pandas.read_csv(path).sample(3, random_state=1),
        sklearn.model_selection.train_test_split(rows, random_state=1),
        random.Random(1).sample(rows, 1),
    )


@pure(3)
def _uses_a_pure_context_manager(x):
    with doubling(x) as y, contextlib.suppress(ValueError):
        return y


@pure([1, 2], [3, 4])
def _zips(a, b):
    return [x * y for x, y in zip(a, b)], dict(zip(a, b)), {**dict(zip(a, b)), "z": 1}


@pure([1, 2])
def _iterates_over_an_iterator_of_its_own(xs):
    it = iter(xs)
    first = next(it)
    counter = itertools.count()
    return first + next(counter) + sum(it)


@pure("a")
def _draws_a_context_variable(x):
    return VARIABLE.get()


@pure(1, 2, 3)
def _sums_star_args(*numbers):
    total = 0
    for n in numbers:
        total += n
    return total


@pure(a=1)
def _changes_its_own_keyword_dict(**options):
    options["b"] = 2
    options.pop("a")
    return options


@pure({"kind": "a", "n": 3})
def _matches(message):
    match message:
        case {"kind": "a", "n": n}:
            n += 1
            return n
    return None


@pure(4)
def _sieves(n):
    sieve = [True] * n
    sieve[0] = sieve[1] = False
    for i in range(2, n):
        if sieve[i]:
            sieve[i * i :: i] = [False] * len(sieve[i * i :: i])
    return [i for i, is_prime in enumerate(sieve) if is_prime]


@pure("name")
def _imports_inside(path):
    import os.path
    from time import sleep

    sleep(0)
    return os.path.join(path, "a")


@pure(np.zeros((3, 3)))
def _writes_masked(x):
    y = np.abs(x)
    y[y > 1] = 1
    z = np.where(y > 0, x, 0)
    z[0] += 1
    return y @ z


@pure([3, 1])
def _swaps(pair):
    a, b = pair
    a, b = b, a
    a += 1
    return a, b


@pure("a")
def _calls_a_library_not_loaded(x):
    import wsgiref.handlers

    return wsgiref.handlers.format_date_time(1) + x


@pure("a")
def _calls_one_of_a_pure_table(name):
    return PURE_HANDLERS[name](1)


@pure(Node([Node([]), Node([])]))
def _weighs_a_tree(node):
    return node.weight() + sum(child.weight() for child in node.children)


@pure(3)
def _builds_a_tree(depth):
    node = Node([])
    for _ in range(depth):
        node = Node([node, Node([])])
        node.seen = True
        node.children.append(Node([]))
    return node


@pure([1.0, 2.0])
def _normalizes(values):
    mean = sum(values) / len(values)
    deviations = [v - mean for v in values]
    scale = math.sqrt(sum(d * d for d in deviations)) or 1.0
    for i in range(len(deviations)):
        deviations[i] /= scale
    return deviations


@pure("path")
def _loads_an_image_and_draws_on_it(path):
    with open(path, "rb") as stream:
        image = np.frombuffer(stream.read(), dtype=np.uint8).copy()
    image[0] = 0
    image += 1
    return image.mean()


@pure(np.zeros((8, 8)))
def _convolves(image):
    out = np.zeros_like(image)
    height, width = image.shape
    for i in range(1, height - 1):
        for j in range(1, width - 1):
            out[i, j] = image[i - 1 : i + 2, j - 1 : j + 2].sum()
    out /= out.max() or 1
    return out


@pure({"values": [1, 2], "name": "a"})
def _handles_a_record(record):
    result = dict(record)
    result["total"] = sum(record["values"])
    result["name"] = record["name"].upper()
    values = list(record["values"])
    values.append(3)
    values[0] += 1
    result["values"] = values
    return result


@pure(["b a", "a"])
def _counts_words(lines):
    counts = collections.Counter()
    for line in lines:
        counts.update(line.split())
        counts["total"] += 1
    return counts.most_common(3)


@pure([[0, 1], [1, 0]], 0)
def _searches_breadth_first(graph, start):
    seen = {start}
    queue = collections.deque([start])
    while queue:
        node = queue.popleft()
        for other, joined in enumerate(graph[node]):
            if joined and other not in seen:
                seen.add(other)
                queue.append(other)
    return seen


@pure(4, 2)
def _fills_a_table(n, k):
    table = [[0] * (k + 1) for _ in range(n + 1)]
    for i in range(n + 1):
        for j in range(min(i, k) + 1):
            table[i][j] = 1 if j in (0, i) else table[i - 1][j - 1] + table[i - 1][j]
    return table[n][k]


@pure([3, 1, 2])
def _sorts_by_merging(items):
    if len(items) < 2:
        return items
    middle = len(items) // 2
    left, right = _sorts_by_merging(items[:middle]), _sorts_by_merging(items[middle:])
    merged = []
    while left and right:
        merged.append(left.pop(0) if left[0] < right[0] else right.pop(0))
    return merged + left + right


@pure([3, 1, 2])
def _pushes_to_a_heap_of_its_own(items):
    heap = []
    for item in items:
        heapq.heappush(heap, item)
    return [heapq.heappop(heap) for _ in range(len(heap))]


@pure(np.zeros(3), np.ones(3))
def _steps_with_arrays(position, velocity):
    for _ in range(10):
        force = -position
        velocity = velocity + force * 0.1
        position = position + velocity * 0.1
    return position, velocity


# --- what is found only where all is looked into -----------------------------------------------------------------

LISTS = {"a": [[0]], "b": []}
SORT = operator.methodcaller("sort")
SORT_DOWN = operator.methodcaller("sort", reverse=True)


def noting_fields(fields):
    """Append."""
    LOG.append(fields)  # <- _notes_the_fields_of_a_point
    return dict(fields)


class Task:
    """Runs what it was given."""

    def __init__(self, function):
        self.function = function


class Operator(enum.Enum):
    """An enumeration that does something."""

    ADD = "+"

    def apply(self, stack):
        stack.append(stack.pop() + stack.pop())  # <- _calls_a_method_of_an_enumeration


class Colour(enum.Enum):
    """One that only names."""

    RED = 1


class Shade(enum.Enum):
    """One that names numbers."""

    DARK = (1, 2)


class Holding(enum.Enum):
    """One that holds what can be changed."""

    ITEMS = []


@dataclasses.dataclass(slots=True)
class Slotted:
    """Has no namespace."""

    x: int = 0


@dataclasses.dataclass
class Announced:
    """Making one, in whatever way, is an effect."""

    x: int

    def __post_init__(self):
        LOG.append(self)  # <- _replaces_fields_of_what_announces_itself


def _linked():
    nodes = [Node([]), Node([])]
    nodes[0].left, nodes[1].left = Node([]), None
    return nodes


@changes("a")
def _changes_an_element_where_the_last_has_none(key):
    for item in LISTS[key]:
        item.append(1)  # <-


@changes(_linked())
def _writes_to_a_child_where_the_last_has_none(nodes):
    for node in nodes:
        if node.left is not None:
            node.left.seen = True  # <-


@changes([{"x": [1]}, {"x": None}])
def _appends_to_a_field_that_not_all_have(rows):
    for row in rows:
        if row["x"] is not None:
            row["x"].append(0)  # <-


@changes([Task(handle_purely), Task(handle)])
def _calls_what_one_of_several_was_given(tasks):
    return [task.function(1) for task in tasks]


@changes(np.zeros(4, [("x", "i4"), ("n", "i4")]))
def _fills_a_field_of_records(records):
    records["x"][records["n"] >= 0] = 1  # <-


@changes(np.zeros(4, [("x", "i4")])[0])
def _fills_a_record(record):
    record["x"] = 7  # <-


@changes(np.zeros(8), slice(0, 4))
def _changes_a_part_that_a_slice_names(array, part):
    view = array[part]
    view -= view.mean()  # <-


@changes(np.zeros(8))
def _sorts_parts_of_an_array(array):
    for part in (slice(0, 4), slice(4, 8)):
        array[part].sort()  # <-


@changes(np.zeros(8))
def _changes_a_view_with_one_more_dimension(array):
    view = array[:, None]
    view *= 2  # <-


@changes(np.zeros(8))
def _changes_a_view_of_all(array):
    view = array[...]
    view += 2  # <-


@changes([], [], 1)
def _changes_one_of_a_pair_of_its_own(left, right, which):
    pair = ({}, right)
    pair[which].append(1)  # <-


@changes([[]] * 33 + [[Node([])]])
def _writes_to_what_only_one_of_many_lists_has(groups):
    for group in groups:
        for node in group:
            node.seen = True  # <-


@changes(np.zeros((4, 4)), 1)
def _changes_what_a_mask_or_a_slice_names(matrix, some):
    where = slice(0, 2) if some else matrix[:, 0] > 0
    rows = matrix[where]
    rows[:] = 0  # <-


@changes(np.zeros(8))
def _changes_what_holds_no_nan(array):
    return np.nan_to_num(array, False)  # <-


@changes([[1, 2]])
def _sorts_with_a_method_caller_that_has_keywords(rows):
    list(map(SORT_DOWN, rows))  # <-


@changes(Point(1.0))
def _notes_the_fields_of_a_point(point):
    return dataclasses.asdict(point, dict_factory=noting_fields)


@changes(np.zeros(8))
def _changes_its_conjugate(array):
    conjugate = array.conj()
    conjugate *= 2  # <-


@changes(np.zeros(8))
def _writes_into_a_tuple_of_outputs(array):
    np.add(array, 1, out=(array,))  # <-


@changes(np.zeros(8))
def _puts_by_name(array):
    np.put(a=array, ind=[0], v=5)  # <-


@changes([3, 1, 2], 1)
def _shuffles_an_argument_with_its_own_generator(items, seed):
    generator = random.Random(seed)
    generator.shuffle(items)  # <-


@changes([Node([])])
def _writes_to_what_it_has_grouped(nodes):
    groups = collections.defaultdict(list)
    for node in nodes:
        groups[node.seen].append(node)
    for group in groups.values():
        for node in group:
            node.seen = True  # <-


@changes([Node([])])
def _writes_to_what_comes_off_its_heap(nodes):
    heap = []
    for number, node in enumerate(nodes):
        heapq.heappush(heap, (number, node))
    heapq.heappop(heap)[1].seen = True  # <-


@changes({Node([])}, set())
def _changes_what_is_left_of_a_set(nodes, done):
    for node in nodes - done:
        node.seen = True  # <-


@changes(3)
def _permutes_with_the_stream_that_numpy_shares(count):
    return np.random.permutation(count)  # <-


@changes(Operator.ADD, [1, 2])
def _calls_a_method_of_an_enumeration(operation, stack):
    operation.apply(stack)


@changes([[2, 1]])
def _sorts_with_a_method_caller(rows):
    list(map(SORT, rows))  # <-


@changes([1, 2])
def _reduces_into_a_global_list(numbers):
    return functools.reduce(lambda total, x: total.append(x) or total, numbers, LOG)  # <-


@changes(iter([1, 2]))
def _extends_a_list_of_its_own_by_an_iterator(numbers):
    found = []
    found.extend(numbers)  # <-
    return found


@changes(Announced(1))
def _replaces_fields_of_what_announces_itself(thing):
    return dataclasses.replace(thing, x=2)


@pure([{"x": [1]}, {"x": None}])
def _sums_a_field_that_not_all_have(rows):
    return sum(sum(row["x"]) for row in rows if row["x"] is not None)


@pure([{"name": "a", "x": 1}] * 100)
def _capitalises_a_field_of_many(rows):
    return [row["name"].upper() * row["x"] for row in rows]


@pure([Task(handle_purely), Task(same)])
def _calls_what_each_was_given(tasks):
    return [task.function(1) for task in tasks]


@pure(np.zeros(8), slice(0, 4))
def _adds_to_a_copy_of_a_part(array, part):
    own = array[part].copy()
    own -= own.mean()
    return own


@pure(np.zeros(8), 3)
def _adds_to_an_element_of_an_array(array, place):
    value = array[place]
    value += 1
    return value


@pure(Colour.RED)
def _names_a_constant(colour):
    return colour.name.lower(), colour is Colour.RED


@pure(3)
def _sets_slots_of_its_own(x):
    slotted = Slotted()
    slotted.x += x
    return slotted


@pure(Point(1.0))
def _sets_fields_of_a_replacement(point):
    moved = dataclasses.replace(point, x=2.0)
    moved.y = 3.0
    return dataclasses.asdict(point), moved


@pure("a + b")
def _replaces_nodes_of_its_own(text):
    return ast.unparse(Replacer().visit(ast.parse(text)))


@pure(1)
@quietly()
def _is_decorated_with_a_generator_that_does_nothing(x):
    return x


@pure(np.zeros(3))
def _takes_pieces(array):
    return np.piecewise(array, [array < 0], [lambda x: -x, abs])


@pure([1, 2])
def _looks_for_something_in_a_list(numbers):
    return 3 in numbers, ",".join(map(str, numbers))


@pure(1)
def _makes_classes_of_its_own(x):
    @dataclasses.dataclass
    class Record:
        number: int

    class Base:
        def __init_subclass__(cls):
            cls.made = x

    class Sub(Base):
        pass

    return Record(x).number + Sub.made


@pure(Point(1.0))
def _matches_an_attribute(thing):
    match thing:
        case Point(x):
            return x


@pure(1)
def _draws_what_has_no_state(x):
    return SYSTEM.random() + x


@pure(1)
def _prints_to_a_stream_in_memory(x):
    stream = io.StringIO()
    print(x, file=stream)
    LOGGER.debug("%s %s", x, [x])
    with contextlib.closing(stream):
        return stream.getvalue(), isinstance(x, (int, collections.abc.Sized)), hasattr(x, "real"), list[int]


@pure(1)
def _asks_for_an_attribute_that_is_there(x):
    return MADE_UP.own + remembered(x)


@pure(1)
def _calls_a_pure_partial_method(x):
    return PARTIAL.get()


@pure([1, 2, 2])
def _groups_numbers(numbers):
    groups = collections.defaultdict(list)
    for number in numbers:
        groups[number].append(number)
    return {key: len(values) for key, values in groups.items()}


@pure([1, 2])
def _makes_an_array_of_a_type(numbers):
    array = np.array(numbers, float)
    array += 1
    return array


@pure(np.zeros(8), 4)
def _sums_windows_of_an_array(array, count):
    total = 0
    for start in range(count):
        window = slice(start, start + 2)
        total += array[window].sum()
    return total


@pure({1, 2}, {2})
def _lists_what_is_left_of_a_set(numbers, done):
    return sorted(numbers - done)


@pure([3, 1], 1)
def _shuffles_a_copy(items, seed):
    own = list(items)
    random.Random(seed).shuffle(own)
    return own


@pure(3)
def _takes_planes_of_a_grid_of_its_own(count):
    xs, ys = np.meshgrid(np.arange(count), np.arange(count))
    xs += ys
    return xs


# --- tests -----------------------------------------------------------------------------------------------------


def marked_line(function: Callable[..., Any]) -> int | None:
    """Return the line of the mark that belongs to a function: in it, or elsewhere with its name."""
    lines, first = inspect.getsourcelines(inspect.unwrap(function))
    for number, line in enumerate(lines, first):
        if "# <-" in line:
            return number
    with open(__file__, encoding="utf-8") as source:
        for number, line in enumerate(source, 1):
            if line.rstrip().endswith(f"# <- {function.__name__}"):
                return number
    return None


def name_of(case: Case) -> str:
    """Return the name under which pytest shows a case."""
    return case.function.__name__.strip("_")


@pytest.mark.parametrize("case", CHANGES, ids=name_of)
def test_effect_is_found_when_function_has_one(case: Case) -> None:
    """A function with an effect is pinned, and the line is named."""
    effect = read(case.function).pin(case.args, case.kwargs)
    line = marked_line(case.function)
    assert effect is not None
    assert effect.file == __file__
    assert line is None or effect.line == line


@pytest.mark.parametrize("case", CHANGES, ids=name_of)
def test_effect_is_described_when_found(case: Case) -> None:
    """The words of an effect follow the function's name and say a thing or two."""
    reading = read(case.function)
    effect = reading.pin(case.args, case.kwargs) or reading.pin()
    assert effect is not None
    assert len(effect.what) > 10
    assert effect.kind is not EffectKind.UNKNOWN


@pytest.mark.parametrize("case", PURE, ids=name_of)
def test_nothing_is_found_when_function_is_pure(case: Case) -> None:
    """A pure function that resembles one with an effect is not pinned."""
    assert read(case.function).pin(case.args, case.kwargs) is None


SPECIAL = {
    "__contains__": lambda x: x in ASKED,
    "__len__": lambda x: len(ASKED),
    "__bool__": lambda x: x if ASKED else 0,
    "__eq__": lambda x: x == ASKED,
    "__ne__": lambda x: x != ASKED,
    "__lt__": lambda x: x > ASKED,
    "__ge__": lambda x: x <= ASKED,
    "__neg__": lambda x: -ASKED,
    "__invert__": lambda x: ~ASKED,
    "__abs__": lambda x: abs(ASKED),
    "__index__": lambda x: bin(ASKED),
    "__int__": lambda x: int(ASKED),
    "__float__": lambda x: float(ASKED),
    "__round__": lambda x: round(ASKED, 2),
    "__str__": lambda x: f"{ASKED!s} {ASKED!s}",
    "__repr__": lambda x: f"{ASKED!r}",
    "__format__": lambda x: f"{ASKED:>3}",
}
ASKED: Any = None


@pytest.mark.parametrize("name", SPECIAL)
def test_special_methods_are_read_when_an_operator_calls_them(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what is a global: one that counts how often it was asked has an effect, one that only answers has none."""

    def count(self: Any, *args: Any) -> int:
        self.asked += 1
        return 1

    def answer(self: Any, *args: Any) -> int:
        return len(args)

    for special, found in ((count, True), (answer, False)):
        instance = type("Special", (), {name: special, "asked": 0})()
        monkeypatch.setitem(globals(), "ASKED", instance)
        effect = read(SPECIAL[name]).pin((3,))
        assert (effect is not None) is found, effect


def _rows() -> dict[str, Any]:
    """Return functions with an effect; the names of those that threads may make at the same time are in `AT_ONCE`."""
    total = 0

    def counts_in_a_closure(x):
        nonlocal total
        total += x

    def counts_in_a_global(x):
        global COUNTER
        COUNTER += x

    def counts_by_hand(x):
        TABLE["a"] = TABLE.get("a", 0) + x

    def counts_in_an_item(x):
        TABLE["a"] += x

    def counts_in_an_attribute(x):
        COUNTING.count = COUNTING.count + x

    def counts_after_appending(x):
        LOG.append(x)
        COUNTING.count += 1

    def counts_in_an_argument(x):
        x.count += 1

    def takes_from_a_generator(x):
        return next(NUMBERS)

    def sets_a_thread_local(x):
        LOCAL.value = x

    def appends(x):
        LOG.append(x)

    def memoizes(x):
        if x not in CACHE:
            CACHE[x] = x * x
        return CACHE[x]

    def counts_under_a_lock(x):
        global COUNTER
        with GUARD:
            COUNTER += x

    def counts_in_a_call_under_a_lock(x):
        with GUARD:
            COUNTING.increment()

    def writes(x):
        STREAM.write(x)

    def fills_an_item(x):
        x[0] = 1

    def stores_under_its_number(x):
        i = len(TABLE)
        TABLE[i] = same(x)

    def stores_a_number_that_another_function_counts(x):
        def size():
            return len(TABLE)

        TABLE[x] = size()

    def adds_with_a_call_around_it(x):
        TABLE["a"] = round(TABLE["a"] + same(x), 2)

    def takes_the_greatest(x):
        if x > TABLE["a"]:
            TABLE["a"] = x

    def leaves_out_what_was_seen(x):
        if x in SEEN:
            return None
        SEEN.add(x)
        return same(x)

    def leaves_out_what_is_stored(x):
        if x in CACHE:
            return None
        CACHE[x] = same(x)
        return CACHE[x]

    def tells_its_rank(x):
        LOG.append(x)
        return len(LOG)

    def appends_once(x):
        for other in LOG:
            if other == x:
                return
        LOG.append(x)

    def tells_whether_it_was_remembered(x):
        new = x not in CACHE
        if new:
            CACHE[x] = same(x)
        return CACHE[x], new

    def counts_what_was_not_remembered(x):
        if x not in CACHE:
            LOG.append(x)
            CACHE[x] = same(x)
        return CACHE[x]

    def notes_once_more_what_was_not_remembered(x):
        append_to(LOG, 1)
        if x not in CACHE:
            append_to(LOG, 1)
            CACHE[x] = same(x)
        return CACHE[x]

    def appends_to_what_it_remembers(x):
        if x not in CACHE:
            CACHE[x] = []
        CACHE[x].append(x)

    def remembers_under_another_key(x):
        if x not in CACHE:
            CACHE[x + 1] = same(x)
        return CACHE.get(x)

    def appends_and_remembers(x):
        LOG.append(x)
        if x in CACHE:
            return CACHE[x]
        value = same(x)
        CACHE[x] = value
        return value

    def remembers_with_get(x, y=1):
        key = (x, y)
        value = CACHE.get(key)
        if value is None:
            total = 0
            for i in range(y):
                total += same(i)
            value = CACHE[key] = total
        return value

    def remembers_with_a_walrus(x):
        if (value := CACHE.get(x)) is not None:
            return value
        CACHE[x] = value = same(x)
        return value

    def remembers_with_an_exception(x):
        try:
            return CACHE[x]
        except KeyError:
            value = CACHE[x] = same(x)
            return value

    def remembers_each(xs):
        found = []
        for x in (1, 2):
            if x not in CACHE:
                CACHE[x] = same(x)
            found.append(CACHE[x])
        return found

    def remembers_an_attribute(x):
        if COUNTING.latest is None:
            COUNTING.latest = same(3)
        return COUNTING.latest

    def reads_one_item_and_stores_another(x):
        SETTINGS["width"] = same(SETTINGS["depth"])

    def reads_what_it_has_stored(x):
        CACHE[x] = same(x)
        return CACHE[x]

    def reads_an_attribute_that_it_has_set(x):
        COUNTING.latest = x
        return same(COUNTING.latest)

    def reads_an_item_that_all_calls_set(x):
        CACHE["last"] = x
        return CACHE["last"]

    def seeds_and_draws(x):
        random.seed(x)
        return random.random()

    def seeds_a_generator_and_draws(x):
        RANDOM.seed(x)
        return RANDOM.random()

    def redirects_the_output(x):
        with contextlib.redirect_stdout(io.StringIO()) as text:
            print(x)
        return text.getvalue()

    def sets_the_precision(x):
        decimal.getcontext().prec = x
        return decimal.Decimal(1) / 3

    def meets_others(x):
        if x:
            EVENT.set()
        EVENT.wait()
        BARRIER.wait()
        with CONDITION:
            CONDITION.notify_all()
        EVENT.clear()

    def runs_an_event_loop(x):
        return EVENT_LOOP.run_until_complete(x)

    return {name: function for name, function in locals().items() if inspect.isfunction(function)}


EVENT_LOOP = asyncio.AbstractEventLoop()
EVENT = threading.Event()
BARRIER = threading.Barrier(2)
CONDITION = threading.Condition()
AT_ONCE = (
    "meets_others",
    *("appends", "memoizes", "counts_under_a_lock", "counts_in_a_call_under_a_lock", "writes", "fills_an_item"),
    *("appends_and_remembers", "remembers_with_get", "remembers_with_a_walrus", "remembers_with_an_exception"),
    *("remembers_each", "remembers_an_attribute", "reads_one_item_and_stores_another", "reads_what_it_has_stored"),
)


@pytest.mark.parametrize(("name", "function"), _rows().items())
def test_effect_is_atomic_when_threads_may_make_it_at_once(name: str, function: Callable[..., Any]) -> None:
    """Read-modify-writes are told from single steps, and the gravest effect is named first."""
    effect = read(function).pin(({"fills_an_item": [1], "counts_in_an_argument": COUNTING}.get(name, 3),))
    assert effect is not None
    assert effect.atomic == (name in AT_ONCE)


@pytest.mark.parametrize(
    "body", ["return globals()['LIMIT'] + x", "import __main__\n    return __main__.LIMIT", "return MAIN.LIMIT + x"]
)
def test_function_of_a_script_stays_when_it_has_its_globals_in_hand(body: str) -> None:
    """A worker has of them only what functions name."""
    script: dict[str, Any] = {"__name__": "__main__", "LIMIT": 3, "MAIN": sys.modules["__main__"]}
    exec(f"def function(x):\n    {body}\n\ndef pure(x):\n    return LIMIT + x", script)
    assert read(script["function"]).pin((1,)) is not None
    assert read(script["pure"]).pin((1,)) is None

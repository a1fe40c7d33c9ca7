"""What people write every day and what changes nothing is not pinned; what resembles it and has an effect still is.

Each function under `changes` has one line marked ``# <-``: the effect must be found there. The functions are read,
and never run.
"""

from __future__ import annotations

import collections
import copy
import functools
import inspect
import operator
import pickle
import threading
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from parallel_deco.routing.effects import find_effects, subject_of
from parallel_deco.routing.ledger import Ledger
from parallel_deco.routing.static import EffectKind, read

# Nothing below is typed: the functions are what users write.
# ruff: noqa: B023, E731, RUF005, SIM


LOG: list[Any] = []
COUNTER = 0
GUARD = threading.Lock()
VECTOR = np.ones(6)
MATRIX = np.ones((3, 2))
NAMES = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and_", "or_", "xor", "lt", "le", "gt", "ge")
OPERATORS = {name: getattr(operator, name) for name in NAMES}
NOTING = {**OPERATORS, "note": LOG.append}
OBJECTS = np.array([[1], [2, 3], []], dtype=object)


class Accessor:
    """What pandas keeps of an accessor that the user has registered."""

    def __init__(self, accessor):
        self._accessor = accessor

    def __get__(self, instance, owner):
        """Make one."""


class Noted:
    """An accessor of the user's."""

    def note(self, x):
        LOG.append(x)


# Neither library is needed here: the reading goes by the names of the types.
IMAGE = type("Image", (), {"__module__": "PIL.Image"})()
DataFrame = type("DataFrame", (), {"__module__": "pandas", "noted": Accessor(Noted)})
TABLE = DataFrame()
pandas = types.ModuleType("pandas")
pandas.DataFrame = DataFrame


class Case(NamedTuple):
    """A function and arguments to read it with."""

    function: Callable[..., Any]
    args: tuple[Any, ...]


CHANGES: list[Case] = []
PURE: list[Case] = []


def changes(*args):
    """Collect a function with an effect."""

    def collect(function):
        CHANGES.append(Case(function, args))
        return function

    return collect


def pure(*args):
    """Collect a function with none."""

    def collect(function):
        PURE.append(Case(function, args))
        return function

    return collect


# --- recursion -------------------------------------------------------------------------------------------------


@pure([3, 1, 2])
def _sorts_quickly(items):
    if len(items) < 2:
        return items
    pivot = items[0]
    left = _sorts_quickly([x for x in items[1:] if x < pivot])
    return left + [pivot] + _sorts_quickly([x for x in items[1:] if x >= pivot])


@pure([3, 1, 2])
def _sorts_quickly_by_a_star(items):
    if not items:
        return []
    pivot, *others = items
    smaller = [x for x in others if x < pivot]
    larger = [x for x in others if x >= pivot]
    return [*_sorts_quickly_by_a_star(smaller), pivot, *_sorts_quickly_by_a_star(larger)]


@pure([3, 1, 2])
def _sorts_quickly_into_three(items):
    if len(items) <= 1:
        return items
    pivot = items[len(items) // 2]
    left, middle, right = [], [], []
    for x in items:
        if x < pivot:
            left.append(x)
        elif x == pivot:
            middle.append(x)
        else:
            right.append(x)
    return _sorts_quickly_into_three(left) + middle + _sorts_quickly_into_three(right)


@pure([3, 1, 2])
def _sorts_quickly_with_filters(items):
    if len(items) < 2:
        return items
    pivot = items[0]
    smaller = list(filter(lambda x: x < pivot, items[1:]))
    larger = list(filter(lambda x: x >= pivot, items[1:]))
    return _sorts_quickly_with_filters(smaller) + [pivot] + _sorts_quickly_with_filters(larger)


@changes([3, 1, 2])
def _sorts_quickly_and_takes_from_its_argument(items):
    if len(items) < 2:
        return items
    pivot = items.pop()  # <-
    left = _sorts_quickly_and_takes_from_its_argument([x for x in items if x < pivot])
    return left + [pivot] + _sorts_quickly_and_takes_from_its_argument([x for x in items if x >= pivot])


@changes([3, 1, 2])
def _sorts_quickly_and_writes_to_what_it_gave_back(items):
    if len(items) < 2:
        return items
    pivot = items[0]
    smaller = _sorts_quickly_and_writes_to_what_it_gave_back(items)
    smaller.append(pivot)  # <-
    return smaller


@pure([3, 1, 2])
def _sorts_by_merging(items):
    def merge(left, right):
        out, i, j = [], 0, 0
        while i < len(left) and j < len(right):
            if left[i] <= right[j]:
                out.append(left[i])
                i += 1
            else:
                out.append(right[j])
                j += 1
        out.extend(left[i:])
        out += right[j:]
        return out

    if len(items) < 2:
        return items
    half = len(items) // 2
    return merge(_sorts_by_merging(items[:half]), _sorts_by_merging(items[half:]))


@changes([3, 1, 2])
def _merges_into_one_half(items):
    if len(items) < 2:
        return items
    half = len(items) // 2
    left, right = _merges_into_one_half(items), _merges_into_one_half(items[half:])
    left.extend(right)  # <-
    return left


@pure(6)
def _places_queens(n):
    columns, found = set(), []

    def place(row, path):
        if row == n:
            found.append(path[:])
            return
        for column in range(n):
            if column in columns:
                continue
            columns.add(column)
            path.append(column)
            place(row + 1, path)
            path.pop()
            columns.remove(column)

    place(0, [])
    return found


@changes(6, [])
def _places_queens_on_a_path_that_was_given(n, path):
    def place(row):
        if row == n:
            return
        for column in range(n):
            path.append(column)  # <-
            place(row + 1)
            path.pop()

    place(0)


@pure([1, 2, 3])
def _permutes(items):
    if not items:
        return [[]]
    return [[x, *rest] for i, x in enumerate(items) for rest in _permutes(items[:i] + items[i + 1 :])]


@pure([[0, 3], [1, 0]])
def _solves_on_a_copy_of_its_board(board):
    board = [list(row) for row in board]

    def solve():
        for r in range(2):
            for c in range(2):
                if board[r][c] == 0:
                    for digit in range(1, 3):
                        board[r][c] = digit
                        if solve():
                            return True
                        board[r][c] = 0
                    return False
        return True

    solve()
    return board


@changes([[0, 3], [1, 0]])
def _solves_on_a_shallow_copy_of_its_board(board):
    board = list(board)

    def solve():
        board[0][0] = 1  # <-
        return solve()

    return solve()


@changes([[0, 3], [1, 0]], 1)
def _copies_its_board_only_sometimes(board, copies):
    if copies:
        board = [list(row) for row in board]

    def solve():
        board[0][0] = 1  # <-

    solve()


@changes([[0, 3], [1, 0]])
def _copies_its_board_after_it_was_written_to(board):
    def solve():
        board[0][0] = 1  # <-

    solve()
    board = [list(row) for row in board]


@changes([[0, 3], [1, 0]])
def _copies_its_board_and_takes_the_old_one_again(board):
    given = board
    board = [list(row) for row in board]

    def solve():
        board[0][0] = 1  # <-

    board = given
    solve()


@changes([[1], [2]])
def _keeps_functions_of_a_loop(rows):
    functions = []
    for row in rows:
        for function in functions:
            function()
        current = row
        functions.append(lambda: current.append(1))  # <-
        current = []


@changes([[1], [2]])
def _makes_a_function_before_the_loop_comes_round(rows):
    function = None
    for row in rows:
        current = row
        if function is not None:
            function()
        current = []
        function = lambda: current.append(1)  # <-


@pure("1+2*(3+4)")
def _parses_with_closures(text):
    def expression(i):
        value, i = term(i)
        while i < len(text) and text[i] in "+-":
            sign = text[i]
            other, i = term(i + 1)
            value = value + other if sign == "+" else value - other
        return value, i

    def term(i):
        value, i = factor(i)
        while i < len(text) and text[i] == "*":
            other, i = factor(i + 1)
            value *= other
        return value, i

    def factor(i):
        if text[i] == "(":
            value, i = expression(i + 1)
            return value, i + 1
        start = i
        while i < len(text) and text[i].isdigit():
            i += 1
        return int(text[start:i]), i

    return expression(0)[0]


@changes("1+2*(3+4)")
def _parses_with_closures_and_notes_it(text):
    def expression(i):
        value, i = term(i)
        while i < len(text):
            value, i = term(i)
        return value, i

    def term(i):
        value, i = factor(i)
        while i < len(text):
            value, i = factor(i)
        return value, i

    def factor(i):
        if text[i] == "(":
            return expression(i + 1)
        LOG.append(i)  # <-
        return i, i

    return expression(0)[0]


@pure(("+", 1, ("*", 2, 3)))
def _evaluates_a_tree(tree):
    if isinstance(tree, int):
        return tree
    operator, *parts = tree
    numbers = [_evaluates_a_tree(part) for part in parts]
    return {"+": sum, "*": lambda xs: functools.reduce(lambda a, b: a * b, xs, 1)}[operator](numbers)


def _even(items, n):
    if n:
        return _odd(items, n - 1)
    return items


def _odd(items, n):
    if n:
        return _even(items, n - 1)
    return []


@changes([1], 2)
def _appends_to_what_comes_back_from_two_that_call_each_other(items, n):
    _even(items, n).append(1)  # <-


def _around(function):
    @functools.wraps(function)
    def around(*args):
        return function(*args)

    return around


@changes(1)
def _appends_under_four_decorators(x):
    @_around
    @_around
    @_around
    @_around
    def append(x):
        LOG.append(x)  # <-

    append(x)


@_around
@_around
@_around
@_around
def _append(x):
    LOG.append(x)  # <- _calls_what_appends_under_four_decorators


@changes(1)
def _calls_what_appends_under_four_decorators(x):
    _append(x)


def _count():
    global COUNTER
    COUNTER += 1


# --- grouping --------------------------------------------------------------------------------------------------


@pure([{"key": 1, "value": [1]}])
def _groups_dicts_in_a_defaultdict(rows):
    groups = collections.defaultdict(list)
    for row in rows:
        groups[row["key"]].append(row)
    return {key: [row["value"] for row in found] for key, found in groups.items()}


@pure([["a", 1]])
def _groups_lists_in_a_defaultdict(rows):
    groups = collections.defaultdict(list)
    for row in rows:
        groups[row[0]].append(row)
    return dict(groups)


@pure([{"key": 1}])
def _groups_in_a_defaultdict_of_dicts(rows):
    groups = collections.defaultdict(dict)
    for row in rows:
        groups[row["key"]]["last"] = row
    return groups


@changes([["a", 1]])
def _groups_lists_and_appends_to_them(rows):
    groups = collections.defaultdict(list)
    for row in rows:
        groups[row[0]].append(row)
    for found in groups.values():
        found[0].append(1)  # <-


@changes([["a", 1]])
def _starts_its_groups_with_what_was_given(rows):
    groups = collections.defaultdict(list, {1: rows[0]})
    for row in rows:
        groups[row[0]].append(row)  # <-


@changes([["a", 1]])
def _makes_its_groups_of_what_was_given(rows):
    groups = collections.defaultdict(lambda: rows)
    groups[1].append(1)  # <-


@changes([{"key": 1}, [2]])
def _appends_to_those_that_are_lists(rows):
    for row in rows:
        row.append(1)  # <-


@changes([{"key": 1}])
def _stores_into_dicts_that_it_has_grouped(rows):
    groups = collections.defaultdict(list)
    for row in rows:
        groups[row["key"]].append(row)
    groups[1][0]["seen"] = True  # <-


# --- arrays ----------------------------------------------------------------------------------------------------


@pure(2)
def _sums_views_of_a_global_array(i):
    parts = MATRIX.T.sum() + MATRIX.reshape(-1).sum() + MATRIX.ravel().max() + MATRIX.T.dot(VECTOR[:2])[0]
    total = sum(row.sum() for row in MATRIX) + MATRIX.T[0].sum() + MATRIX[:, 0].T.sum()
    for column in MATRIX.T:
        total += column.sum()
    return parts, total, (MATRIX + 1j).real.sum(), MATRIX.flatten().mean(), MATRIX.swapaxes(0, 1)[i]


@changes(2)
def _writes_to_a_transposed_global_array(i):
    MATRIX.T[i] = 1  # <-


@changes(2)
def _fills_a_reshaped_global_array(i):
    MATRIX.reshape(-1).fill(i)  # <-


@changes(2)
def _writes_to_a_row_of_a_reshaped_vector(i):
    row = VECTOR.reshape(2, 3)[0]
    row[0] = 1  # <-


@changes(2)
def _adds_to_columns_of_a_global_array(i):
    for column in MATRIX.T:
        column += 1  # <-


@changes(0)
def _appends_to_what_a_transposed_array_holds(i):
    OBJECTS.T[i].append(1)  # <-


def _centred(values):
    values = np.asarray(values, dtype=float)
    values -= values.mean()  # <-
    return values


pure([1.0, 2.0])(_centred)
pure((1.0, 2.0))(_centred)
pure(3.0)(_centred)
changes(np.zeros(3))(_centred)
changes(bytearray(8))(_centred)


@pure([1.0, 2.0])
def _normalizes_what_is_made_an_array(values):
    values = np.ravel(np.atleast_1d(values))
    values /= values.sum()
    return values


@changes(np.ones(3))
def _normalizes_an_array_that_was_given(values):
    values = np.ravel(np.atleast_1d(values))
    values /= values.sum()  # <-


@changes([1.0], np.ones(3))
def _subtracts_from_the_second_of_two(left, right):
    left, right = np.atleast_1d(left, right)
    right -= 1  # <-


@changes(np.ones(6))
def _writes_to_a_row_of_what_numpy_reshapes(values):
    row = np.reshape(values, (2, 3))[0]
    row[0] = 1  # <-


@pure([[1.0, 2.0], [3.0, 4.0]])
def _eliminates(rows):
    matrix = np.array(rows)
    for i in range(1, len(matrix)):
        matrix[i] -= matrix[0] * matrix[i, 0]
    return matrix


@changes([[1], [2, 3]])
def _makes_an_array_of_lists(rows):
    array = np.array(rows, dtype=object)
    array[0].append(1)  # <-


@changes([[{1}], [{2}]])
def _makes_an_array_of_two_dimensions_of_sets(rows):
    array = np.array(rows)
    array[0][0].add(1)  # <-


@changes([[[]], [[]]], object)
def _makes_an_array_of_a_type_that_was_given(rows, kind):
    array = np.array(rows, kind)
    array[0].append(1)  # <-


@pure(np.ones((4, 4)))
def _copies_rows_into_an_array_of_its_own(matrix):
    out = np.zeros_like(matrix)
    out[0] = matrix[0]
    out[1:] = matrix[1:] + matrix[:-1]
    out[0] += 1
    out[matrix > 0] *= 2
    return out


@changes(np.array([[1], [2], []], dtype=object))
def _copies_lists_into_an_array_of_its_own(array):
    out = np.zeros_like(array)
    out[0] = array[0]
    out[0].append(1)  # <-


@changes([1])
def _copies_into_arrays_of_two_types(items):
    for kind in (float, object):
        out = np.zeros(3, kind)
        out[0] = items
        out[0].append(1)  # <-


# --- functions by name -----------------------------------------------------------------------------------------


@pure("add")
def _calls_one_of_many_operators(name):
    return OPERATORS[name](3, 2)


@changes("add")
def _calls_one_of_many_operators_that_may_be_in_place(name):
    return {**OPERATORS, "push": operator.iadd}["push"](LOG, [1])  # <-


@changes("add")
def _calls_one_of_many_of_which_one_appends(name):
    return NOTING[name](1)  # <-


# --- images and tables -----------------------------------------------------------------------------------------


@pure(IMAGE)
def _draws_on_a_smaller_image(image):
    small = image.convert("RGB").resize((4, 4))
    small.putpixel((0, 0), 1)
    small.paste(small, (1, 1))
    return small, IMAGE.resize((2, 2)).getpixel((0, 0))


@changes(IMAGE)
def _draws_on_an_image_that_was_given(image):
    image.resize((4, 4))
    image.putpixel((0, 0), 1)  # <-


@changes(np.zeros(4))
def _resizes_an_array(array):
    array.resize(8)  # <-


@pure(2)
def _describes_a_global_table(x):
    means = TABLE.groupby("key")["value"].mean().to_dict()
    column = TABLE["value"]
    some = TABLE[TABLE.value > 1]["value"].max() + TABLE.loc[TABLE.value > x, "value"].sum()
    return means, column.tolist(), some, TABLE.value.map(lambda v: v * x), TABLE.columns.tolist(), TABLE.T.sum()


@pure(TABLE)
def _adds_columns_to_copies_of_a_table(table):
    table = table.set_index("key")
    table["x"] = 1
    other = table.copy()
    other["y"] = other.value.shift(1) * 2
    array = other.to_numpy(copy=True)
    array[0] = 1
    return other.value.add(1)


@pure([{"a": 1}])
def _makes_a_table_of_rows(rows):
    table = pandas.DataFrame(rows)
    table["b"] = 1
    table["a"] += 1
    return table


@changes([{"a": [1]}])
def _makes_a_table_of_rows_that_hold_lists(rows):
    table = pandas.DataFrame(rows)
    table["a"][0].append(1)  # <-


@changes(np.zeros((2, 2)))
def _makes_a_table_of_an_array(array):
    table = pandas.DataFrame(array)
    table["a"] = 1  # <-


@changes(TABLE)
def _adds_a_column_to_a_table_that_was_given(table):
    table["x"] = 1  # <-


@changes(TABLE)
def _sets_the_index_of_a_table_in_place(table):
    table.set_index("key", inplace=True)  # <-


@changes(TABLE)
def _writes_to_the_array_of_a_table(table):
    table.to_numpy()[0] = 1  # <-


@changes(1)
def _calls_what_is_in_a_column(x):
    TABLE["tasks"][0].start()  # <-


@changes(1)
def _maps_what_is_in_a_column(x):
    TABLE.tasks.map(lambda task: task.start())  # <-


@changes(1)
def _appends_what_is_in_a_column(x):
    TABLE.value.map(LOG.append)  # <-


@changes(1)
def _calls_an_accessor_of_the_users(x):
    TABLE.noted.note(x)  # <-


# --- indices ---------------------------------------------------------------------------------------------------


@pure(np.ones((3, 3)))
def _changes_what_masks_and_lists_have_copied(matrix):
    chosen = matrix[(matrix > 0) & ~np.isnan(matrix) | (matrix < -1)]
    chosen -= 1
    some = matrix[[0, 1]]
    some *= 2
    ordered = matrix[matrix[:, 0].argsort()]
    ordered[0] = 0
    column = matrix[np.argsort(matrix[:, 1]), 0]
    column += 1
    return chosen, some, ordered, column


@pure(np.ones((3, 3)))
def _normalizes_products(matrix):
    products = np.einsum("ij,kj->ik", matrix, matrix)
    products /= np.sqrt(np.outer(np.diag(products), np.diag(products)))
    return products


@changes(np.ones((3, 3)))
def _subtracts_from_a_diagonal(matrix):
    diagonal = np.einsum("ii->i", matrix)
    diagonal -= 1  # <-


@changes(np.ones((3, 3)))
def _changes_a_row_that_comes_first(matrix):
    row = matrix[np.argsort(matrix[:, 0])[0]]
    row -= 1  # <-


@changes(np.array([[1], [2, 3]], dtype=object))
def _changes_a_list_in_a_copy_of_an_array(array):
    chosen = array[[0]]
    chosen[0].append(1)  # <-


@changes({True: [1]}, 3)
def _takes_from_a_dict_by_a_comparison(rows, x):
    row = rows[x > 1]
    row.append(1)  # <-


@changes(np.ones((3, 3)), 1, [1])
def _takes_a_mask_or_a_row(matrix, choice, items):
    index = matrix > 0 if choice else len(items)
    row = matrix[index]
    row -= 1  # <-


@changes(np.ones((3, 3)), [1])
def _finds_a_mask_or_a_row_in_a_list(matrix, items):
    indices = [matrix > 0]
    indices.append(len(items))
    for index in indices:
        row = matrix[index]
        row -= 1  # <-


@changes(np.ones((3, 3)), 1, [1])
def _is_given_a_mask_or_a_row(matrix, choice, items):
    def index():
        if choice:
            return matrix > 0
        return len(items)

    row = matrix[index()]
    row -= 1  # <-


@changes(np.ones((3, 3)), [1])
def _has_its_mask_replaced(matrix, items):
    index = matrix > 0

    def replace():
        nonlocal index
        index = len(items)

    replace()
    row = matrix[index]
    row -= 1  # <-


@changes(1)
def _appends_to_the_second_of_a_pair_in_time(x):
    pair, place = ([], LOG), 0
    for _ in range(2):
        pair[place].append(x)  # <-
        place = len(pair) - 1


@pure(1)
def _appends_to_the_first_of_a_pair(x):
    pair = ([], LOG)
    pair[0].append(x)
    return pair[0]


# --- keys ------------------------------------------------------------------------------------------------------


@pure({"w": np.ones(3), "b": [1.0]})
def _copies_arrays_by_their_names(parameters):
    copies = {name: np.array(parameters[name]) for name in parameters}
    others = {name: np.array(value) for name, value in parameters.items()}
    for name in copies:
        copies[name] -= 1
        others[name] *= 2
    groups = {name: [] for name in sorted(parameters)}
    groups["w"].append(1)
    return copies, others, groups


@changes({"a": [1]})
def _changes_values_by_their_names(lists):
    for name in sorted(lists):
        lists[name].append(1)  # <-


@changes({"a": [1]})
def _changes_values_of_a_copy(lists):
    copied = {**lists}
    copied["a"].append(1)  # <-


@changes({"a": [1]})
def _changes_values_of_a_dict_of_a_dict(lists):
    copied = dict(lists)
    copied["a"].append(1)  # <-


@changes({"a": [1]})
def _changes_a_value_that_an_operator_gives(lists):
    operator.getitem(lists, "a").append(1)  # <-


@changes({Noted(): 1})
def _writes_to_keys(numbers):
    for key, _ in numbers.items():
        key.seen = True  # <-


@changes({Noted(): 1})
def _writes_to_keys_of_a_loop(numbers):
    for key in numbers:
        key.seen = True  # <-


@pure(["1", "2"])
def _subtracts_from_what_a_method_was_given_a_type_for(texts):
    array = np.frombuffer(b"12345678", dtype="u1").astype(float)
    array[0] = 3
    array[array > 1] -= 1
    return array, [float(text) for text in texts]


class Opened:
    """Can be closed, and written to."""

    def __init__(self):
        self.open = True
        self.lines = []

    def close(self):
        """Close it."""
        self.open = False

    def write(self, line):
        """Keep a line."""
        self.lines.append(line)


@pure(Opened())
def _hands_on_what_has_methods_of_a_stream(opened):
    kept = [opened]
    kept.append(opened)
    table = {"a": opened}
    table.setdefault("b", opened)
    copies = copy.deepcopy(opened), pickle.dumps(opened), functools.partial(len, opened.lines)()
    return len(kept), kept.index(opened), len(table), copies[2]


class Proxied:
    """Keeps what it made up."""

    def __getattr__(self, name):
        self.__dict__[name] = name
        return name


@pure(1)
def _asks_its_own_object_for_what_that_makes_up(x):
    return Proxied().colour * x


# --- tests -----------------------------------------------------------------------------------------------------


def marked_line(function: Callable[..., Any]) -> int:
    """Return the line of the mark that belongs to a function: in it, or elsewhere with its name."""
    lines, first = inspect.getsourcelines(function)
    marks = [number for number, line in enumerate(lines, first) if "# <-" in line]
    if not marks:
        with open(__file__, encoding="utf-8") as source:
            marks = [i for i, line in enumerate(source, 1) if line.rstrip().endswith(f"# <- {function.__name__}")]
    return marks[0]


def name_of(case: Case) -> str:
    """Return the name under which pytest shows a case."""
    return case.function.__name__.strip("_")


@pytest.mark.parametrize("case", CHANGES, ids=name_of)
def test_effect_is_found_when_function_only_resembles_a_pure_one(case: Case) -> None:
    """A function with an effect is pinned, and the line is named."""
    effect = read(case.function).pin(case.args)
    assert effect is not None
    assert (effect.file, effect.line) == (__file__, marked_line(case.function))
    assert effect.kind is not EffectKind.UNKNOWN


@pytest.mark.parametrize("case", PURE, ids=name_of)
def test_nothing_is_found_when_function_is_pure(case: Case) -> None:
    """A pure function is not pinned."""
    assert read(case.function).pin(case.args) is None


def test_effect_is_not_atomic_when_one_of_two_calls_holds_no_lock() -> None:
    """What was read of a function under a lock does not hold where there is none."""

    def counts_twice(x):
        with GUARD:
            _count()
        _count()

    effect = read(counts_twice).pin((1,))
    assert effect is not None
    assert not effect.atomic


def test_place_is_that_of_the_function_when_it_is_too_long_to_be_read() -> None:
    """Where the reading gave up, the words name the function's first line."""
    namespace: dict[str, Any] = {}
    exec(compile("\n\ndef f(x):\n    return [" + "x, x + 1, " * 4000 + "]", "made.py", "exec"), namespace)
    (effect,) = read(namespace["f"]).effects
    assert (effect.kind, effect.file, effect.line) == (EffectKind.UNKNOWN, "made.py", 3)


@pytest.mark.parametrize("case", CHANGES, ids=name_of)
def test_a_reading_takes_the_same_steps_each_time(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever its objects lie in memory: else the same function is read to the end one day, and not on another."""
    steps: list[int] = []
    spend = Ledger.spend
    monkeypatch.setattr(Ledger, "spend", lambda ledger, count: steps.append(count) or spend(ledger, count))
    subject = subject_of(case.function)
    taken = set()
    kept = []
    for number in range(12):
        kept.append([object() for _ in range(37 * number)])
        steps.clear()
        find_effects(subject, subject.bind(case.args, {}))
        taken.add(sum(steps))
    assert len(taken) == 1

"""What people write every day and what changes nothing is not pinned; what resembles it and has an effect still is.

Each function under `changes` has one line marked ``# <-``: the effect must be found there. The functions are read,
and never run.
"""

from __future__ import annotations

import collections
import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from parallel_deco.routing.static import EffectKind, read

# Nothing below is typed: the functions are what users write.
# ruff: noqa: B023, E731, RUF005, SIM


LOG: list[Any] = []
COUNTER = 0
GUARD = threading.Lock()


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

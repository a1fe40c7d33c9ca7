"""Tells functions that remember results by hand: whether one was found or had to be made makes no difference.

``if k not in D: D[k] = …`` looks and then stores, which threads may do at once all the same if all that follows is
the same either way. So both ways are followed from the look on, with symbols for values, until they meet or return.
What is not understood here is a difference.
"""

from __future__ import annotations

import opcode
import types
from typing import Final, TypeAlias

from parallel_deco.routing.bytecode import VERSION, Program, decode
from parallel_deco.routing.known import mutating

__all__ = ["is_memo"]

_STEPS_MAX: Final = 2000

# A symbol: a tuple that says how the value was made, or an object for one of which nothing is known.
Symbol: TypeAlias = object
_KEPT: Final = ("kept",)  # what is kept in the container under the key
_NONE: Final = ("constant", id(None))
_TRUTH: Final = {True: ("constant", id(True)), False: ("constant", id(False))}

_FAST: Final = frozenset(("LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_BORROW", "LOAD_CLOSURE"))
_TWO: Final = {
    "LOAD_FAST_LOAD_FAST": "LL",
    "LOAD_FAST_BORROW_LOAD_FAST_BORROW": "LL",
    "STORE_FAST_LOAD_FAST": "SL",
    "STORE_FAST_STORE_FAST": "SS",
}
_INPLACE: Final = range(13, 26)
_OPERANDS: Final = _FAST.union(
    ("LOAD_FAST_LOAD_FAST", "LOAD_FAST_BORROW_LOAD_FAST_BORROW", "LOAD_GLOBAL", "LOAD_DEREF", "LOAD_CONST"),
    ("LOAD_SMALL_INT", "LOAD_ATTR", "LOAD_METHOD", "BUILD_TUPLE", "PUSH_NULL", "PRECALL", "NOP"),
)
_NOTHING: Final = frozenset(("NOP", "RESUME", "PRECALL", "KW_NAMES", "TO_BOOL", "CACHE", "NOT_TAKEN", "PUSH_NULL"))
_ENDS: Final = frozenset(("RERAISE", "RAISE_VARARGS", "INTERPRETER_EXIT"))
_JUMPS: Final = frozenset(("JUMP_FORWARD", "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT", "JUMP", "JUMP_NO_INTERRUPT"))
_RELATIVE: Final = frozenset([_name for _name in opcode.opmap if opcode.opmap[_name] in opcode.hasjrel])


class _Way:
    """One way through the code, at one instruction."""

    def __init__(self, index: int, stack: list[Symbol], variables: dict[int, Symbol], found: bool) -> None:
        self.index = index
        self.stack = stack
        self.variables = variables
        self.found = found  # there was a result under the key
        self.stored = False
        self.parted = False  # it is not where, or what, the way with a result was
        self.seen: set[int] = set()
        self.result: Symbol = None

    def fork(self, index: int) -> _Way:
        other = _Way(index, list(self.stack), dict(self.variables), self.found)
        other.stored, other.parted, other.seen = self.stored, self.parted, set(self.seen)
        return other

    def pop(self) -> Symbol:
        return self.stack.pop() if self.stack else object()

    def pops(self, count: int) -> list[Symbol]:
        return [self.pop() for _ in range(count)][::-1]

    def load(self, index: int) -> Symbol:
        return self.variables.get(index, ("variable", index))

    def keep(self, value: Symbol) -> None:
        """The value is kept from now on: it is what a later look finds."""
        self.stored = True
        self.stack = [_KEPT if symbol == value else symbol for symbol in self.stack]
        self.variables = {index: _KEPT if symbol == value else symbol for index, symbol in self.variables.items()}


class _Difference(Exception):
    """It matters whether a result was found."""


class _Memo:
    """The ways from the first look on."""

    def __init__(self, program: Program, first: int, store: int) -> None:
        self.program, self.first, self.store = program, first, store
        self.looks: set[int] = set()  # those that were met, at the container under the key
        self.container: Symbol = None
        self.key: Symbol = None
        self._steps = 0
        self.start = first
        while self.start not in program.targets and program.names[self.start - 1] in _OPERANDS:
            self.start -= 1

    def begin(self, found: bool) -> _Way:
        return _Way(self.start, [("below", depth) for depth in range(20)], {}, found)

    # --- one instruction -------------------------------------------------------------------------------------------

    def step(self, way: _Way) -> list[_Way]:
        """Take one step; return the ways that lead on, none where the way ends."""
        self._steps += 1
        if self._steps > _STEPS_MAX:
            raise _Difference
        program, index = self.program, way.index
        name, argument = program.names[index], program.arguments[index]
        way.seen.add(index)
        way.index = index + 1
        if name in _FAST:
            way.stack.append(way.load(argument))
        elif name in _TWO:
            for what, number in zip(_TWO[name], (argument >> 4, argument & 15), strict=True):
                if what == "L":
                    way.stack.append(way.load(number))
                else:
                    way.variables[number] = way.pop()
        elif name == "STORE_FAST":
            way.variables[argument] = way.pop()
        elif name in ("LOAD_CONST", "LOAD_CONST_IMMORTAL", "LOAD_CONST_MORTAL"):
            way.stack.append(("constant", id(program.code.co_consts[argument])))
        elif name == "LOAD_GLOBAL":
            self._called(way, ("global", argument >> 1), bool(argument & 1), first=VERSION < (3, 13))
        elif name in ("LOAD_DEREF", "LOAD_SMALL_INT"):
            way.stack.append((name, argument))
        elif name in ("LOAD_ATTR", "LOAD_METHOD"):
            self._attribute(way, name, argument)
        elif name == "BUILD_TUPLE":
            way.stack.append(("tuple", *way.pops(argument)))
        elif name == "CONTAINS_OP":
            key, container = way.pops(2)
            met = self._is_look(index, container, key)
            way.stack.append(_TRUTH[(way.found or way.stored) != bool(argument)] if met else object())
        elif name == "BINARY_SUBSCR" or (name == "BINARY_OP" and argument == 26):
            return self._item(way, *way.pops(2))
        elif name == "BINARY_OP":
            left, _ = way.pops(2)
            if left == _KEPT and argument in _INPLACE:
                raise _Difference
            way.stack.append(object())
        elif name == "CALL":
            self._call(way, argument)
        elif name in ("STORE_SUBSCR", "STORE_ATTR"):
            self._store(way, name, argument)
        elif name in ("RETURN_VALUE", "RETURN_CONST"):
            way.result = way.pop() if name == "RETURN_VALUE" else ("constant", id(program.code.co_consts[argument]))
            return []
        elif name in _ENDS:
            way.result = object()
            way.stored = False  # nothing comes of it
            return []
        elif name in _JUMPS:
            way.index = argument
        elif name.startswith("POP_JUMP"):
            return self._branch(way, name, argument)
        elif name in ("COPY", "SWAP"):
            depth = len(way.stack) - argument
            if name == "COPY":
                way.stack.append(way.stack[depth])
            else:
                way.stack[-1], way.stack[depth] = way.stack[depth], way.stack[-1]
        elif name in ("POP_TOP", "POP_EXCEPT"):
            way.pop()
        elif name == "IS_OP":
            way.stack.append(self._is(way.pop(), way.pop(), bool(argument)))
        elif name == "UNARY_NOT":
            truth = _truth(way.pop())
            way.stack.append(object() if truth is None else _TRUTH[not truth])
        elif name not in _NOTHING:
            return self._other(way, name, argument)
        elif name == "PUSH_NULL":
            way.stack.append(None)
        return [way]

    @staticmethod
    def _called(way: _Way, symbol: Symbol, with_null: bool, first: bool) -> None:
        way.stack += ([None, symbol] if first else [symbol, None]) if with_null else [symbol]

    def _attribute(self, way: _Way, name: str, argument: int) -> None:
        new = VERSION >= (3, 12)
        owner, text = way.pop(), self.program.code.co_names[argument >> 1 if new else argument]
        if self._is_look(way.index - 1, owner, ("attribute", text)):
            way.stack.append(_KEPT if way.found or way.stored else _NONE)
        elif owner == _KEPT and mutating(text):
            raise _Difference
        else:
            self._called(way, ("attribute", text, owner), name == "LOAD_METHOD" or (new and bool(argument & 1)), False)

    def _is_ours(self, index: int, container: Symbol, key: Symbol) -> bool:
        if index == self.first and self.container is None:
            self.container, self.key = container, key
        return self.container is not None and container == self.container and key == self.key

    def _is_look(self, index: int, container: Symbol, key: Symbol) -> bool:
        met = self._is_ours(index, container, key)
        if met:
            self.looks.add(index)
        return met

    def _item(self, way: _Way, container: Symbol, key: Symbol) -> list[_Way]:
        if not self._is_look(way.index - 1, container, key):
            way.stack.append(object())
        elif way.found or way.stored:
            way.stack.append(_KEPT)
        else:  # a KeyError
            handlers = self.program.handlers
            handler = handlers[way.index - 1] if handlers else None
            if handler is None:
                way.result = object()
                return []
            way.index = handler.target
            way.stack = [*way.stack[: 20 + handler.depth], *[object()] * (1 + handler.pushes_offset)]
        return [way]

    def _call(self, way: _Way, count: int) -> None:
        arguments, (first, second) = way.pops(count), way.pops(2)
        if type(first) is tuple and first[:2] == ("attribute", "get") and arguments and second is None:
            index = way.index - 1
            if self._is_look(index, first[2], arguments[0]):
                absent = arguments[1] if len(arguments) > 1 else _NONE
                way.stack.append(_KEPT if way.found or way.stored else absent)
                return
        way.stack.append(object())

    def _store(self, way: _Way, name: str, argument: int) -> None:
        if name == "STORE_SUBSCR":
            value, container, key = way.pops(3)
        else:
            (value, container), key = way.pops(2), ("attribute", self.program.code.co_names[argument])
        ours = self._is_ours(way.index - 1, container, key)
        if container == _KEPT or (way.found and ours) or (way.index - 1 == self.store and not ours):
            raise _Difference  # what is kept is changed, or replaced, or it is another
        if ours:
            way.keep(value)

    @staticmethod
    def _is(left: Symbol, right: Symbol, negated: bool) -> Symbol:
        if left == right:
            return _TRUTH[not negated]
        return _TRUTH[negated] if _KEPT in (left, right) else object()

    def _branch(self, way: _Way, name: str, target: int) -> list[_Way]:
        value = way.pop()
        if name.endswith("NONE"):
            known = None if type(value) is not tuple else value == _NONE
            known = known if value in (_NONE, _KEPT) else None
            jumps = None if known is None else known != ("NOT" in name)
        else:
            known = _truth(value)
            jumps = None if known is None else known == ("TRUE" in name)
        if jumps is None:
            return [way, way.fork(target)]
        way.index = target if jumps else way.index
        return [way]

    def _other(self, way: _Way, name: str, argument: int) -> list[_Way]:
        """An instruction of which only is known how the stack grows."""
        number = opcode.opmap[name]
        ways = [way]
        takes = argument if number >= opcode.HAVE_ARGUMENT else None
        if name in _RELATIVE:
            other = way.fork(argument)
            _grow(other, opcode.stack_effect(number, takes, jump=True))
            ways.append(other)
        if name in ("STORE_DEREF", "DELETE_DEREF", "DELETE_FAST", "YIELD_VALUE") or name.startswith("STORE_FAST"):
            raise _Difference
        _grow(way, opcode.stack_effect(number, takes, jump=False))
        return ways

    # --- whole ways ------------------------------------------------------------------------------------------------

    def follow(self) -> tuple[set[int], set[int]]:
        """Return the instructions only of the way with a result, and only of those without; raises `_Difference`."""
        if self.first == self.store:  # it always stores, and looks at that
            trace, _ = self._straight(found=False)
            if not self.program.targets.isdisjoint(set(trace) - {self.start}) or not _varies(self.key):
                raise _Difference
            return set(), set()
        trace, result = self._straight(found=True)
        common: set[int] = set()
        without: set[int] = set()
        stored = False
        ways = [self.begin(found=False)]
        while ways:
            way = ways.pop()
            known = trace.get(way.index)
            same = known is not None and self._same(way, known)
            way.parted = way.parted or not same
            if same and way.parted:
                order = list(trace)
                rest = set(order[order.index(way.index) :])
                if not (way.stored or rest.isdisjoint(self.looks)):
                    raise _Difference
                common |= rest
                stored = stored or way.stored
                without |= way.seen
                continue
            if way.index in way.seen:
                without |= way.seen
                continue
            ways += self._caught(way)
            following = self.step(way)
            if not following:
                if way.stored and (way.result != result or result is None):
                    raise _Difference
                stored = stored or way.stored
                without |= way.seen
            ways += following
        if not stored:
            raise _Difference
        shared = common | (without & set(trace))
        return set(trace) - shared, without - shared

    def _straight(self, found: bool) -> tuple[dict[int, _Way], Symbol]:
        """Return the way as far as it does not branch, and what is returned at its end."""
        way = self.begin(found)
        trace: dict[int, _Way] = {}
        while way.index not in trace:
            trace[way.index] = way.fork(way.index)
            following = self.step(way)
            if len(following) != 1:
                return trace, way.result if not following else None
            (way,) = following
        return trace, None

    def _same(self, way: _Way, other: _Way) -> bool:
        if way.stack != other.stack:
            return False
        differ = [i for i in {*way.variables, *other.variables} if way.load(i) != other.load(i)]
        return not any(_is_live(self.program, way.index, index) for index in differ)

    def _caught(self, way: _Way) -> list[_Way]:
        """Return the way on which an exception is caught here, once for each handler."""
        handlers = self.program.handlers
        handler = handlers[way.index] if handlers else None
        if handler is None or any(handlers[index] is handler for index in way.seen):
            return []
        caught = way.fork(handler.target)
        caught.stack = [*way.stack[: 20 + handler.depth], *[object()] * (1 + handler.pushes_offset)]
        for index, other in enumerate(handlers):
            if other is handler and self.program.names[index].startswith("STORE_FAST"):
                caught.variables[self.program.arguments[index]] = object()
        return [caught]


def _varies(key: Symbol) -> bool:
    """Say whether each call may have a key of its own; an attribute, or an item under a constant, is that of all."""
    return isinstance(key, tuple) and (key[0] == "variable" or (key[0] == "tuple" and any(map(_varies, key[1:]))))


def _grow(way: _Way, by: int) -> None:
    if by < 0:
        way.pops(-by)
    way.stack += [object()] * max(by, 0)
    if by <= 0 and way.stack:
        way.stack[-1] = object()


def _truth(value: Symbol) -> bool | None:
    if value == _KEPT or value == _TRUTH[True]:
        return True
    return False if value in (_NONE, _TRUTH[False]) else None


def _is_live(program: Program, index: int, variable: int) -> bool:
    """Say whether a variable may be read from here on."""
    if variable >= len(program.code.co_varnames) or program.code.co_varnames[variable] in program.code.co_cellvars:
        return True
    waiting, seen = [index], {index}
    while waiting:
        index = waiting.pop()
        name, argument = program.names[index], program.arguments[index]
        if name in _TWO:
            return True  # in doubt
        if (name in _FAST or name == "LOAD_FAST_AND_CLEAR") and argument == variable:
            return True
        following = [] if name in _ENDS or name in _JUMPS or name.startswith("RETURN_") else [index + 1]
        if name == "STORE_FAST" and argument == variable:
            following = []
        elif name in _RELATIVE:
            following.append(argument)
        handler = program.handlers[index] if program.handlers else None
        if handler is not None:
            following.append(handler.target)
        waiting += [each for each in following if each not in seen]
        seen.update(following)
    return False


def is_memo(code: types.CodeType, looks: set[int], store: int, effects: set[int]) -> bool:
    """Say whether a function only stores a result under a key where it found none.

    Parameters
    ----------
    code : code
    looks : set of int
        The instructions that look at the container, or at the attribute.
    store : int
        The instruction that stores into it.
    effects : set of int
        The instructions with other effects.
    """
    memo = _Memo(decode(code), min(*looks, store), store)
    try:
        found, made = memo.follow()
    except _Difference:
        return False
    return looks <= memo.looks and effects.isdisjoint(found | made)

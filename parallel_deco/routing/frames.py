"""Walks through the bytecode of one function and follows where each value comes from.

An abstract interpretation: the stack and the variables hold a `Value` (where the object may be from) instead of
an object. Where ways meet, values are joined; loops are walked until nothing new appears. One small function for
each instruction of CPython 3.11 to 3.14; an instruction that is not in the table only moves the stack, by what
CPython says of it, and leaves values that are in doubt.
"""

from __future__ import annotations

import opcode
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol, TypeAlias

from parallel_deco.routing.bytecode import Handler, Program, decode
from parallel_deco.routing.ledger import Exhausted, Ledger
from parallel_deco.routing.values import EMPTY, NO_ARGUMENTS, Cell, Given, Origin, Outside, Site, Value, joined, unsure

__all__ = ["Frame", "Reader"]

PASSES_MAX: Final = 8

State: TypeAlias = "tuple[list[Value | None], list[Value | None]]"


class Reader(Protocol):
    """What a frame needs of the one who reads: the book, and somebody who knows what a call may do."""

    ledger: Ledger

    def call(self, callee: Value, given: Given) -> Value:
        """Return what a call of `callee` may give, and write down what it may change."""
        ...

    def attribute(self, value: Value, name: str, to_call: bool = False) -> Value:
        """Return what an attribute of `value` may be."""
        ...

    def item(self, value: Value, key: Value) -> Value:
        """Return what ``value[key]`` may be."""
        ...

    def set_attribute(self, place: Outside | Site, name: str, value: Value) -> None:
        """Set an attribute, by its setter if it has one."""
        ...

    def delete_attribute(self, owner: Value, name: str) -> None:
        """Call what is called where an attribute is deleted."""
        ...

    def operate(self, value: Value, name: str, given: Given) -> Value:
        """Call the special method of an operator, where the class of `value` is known and defines it."""
        ...

    def ask(self, value: Value, names: Iterable[str] = (), given: Given = NO_ARGUMENTS, deep: bool = False) -> None:
        """Call special methods of objects, and of what is in containers: these, or all that anybody may call."""
        ...

    def as_number(self, value: Value) -> None:
        """Call what a number, an array or a text asks an object for when they meet."""
        ...

    def iterate(self, value: Value) -> Value:
        """Return what an iterator over `value` may be."""
        ...

    def loop_over(self, value: Value) -> Value:
        """Return what a loop's iterator over `value` may be."""
        ...

    def hand_over(self, value: Value, taker: str) -> None:
        """Give `value` to somebody who may read from it what is a stream or an iterator."""
        ...

    def matched(self, subject: Value, classes: Value, count: int, names: tuple[str, ...]) -> Value:
        """Return what a class pattern of so many positions and these names reads from `subject`."""
        ...

    def module(self, name: str, top: bool) -> Value:
        """Return the module that an import statement would give, if it is loaded."""
        ...


Action: TypeAlias = "Callable[[Frame, int], None]"


class Frame:
    """One function under way.

    `stack` and `variables` are the state at the current instruction; `None` is CPython's NULL. `entries` holds
    the joined state with which each jump target is reached.
    """

    def __init__(
        self,
        reader: Reader,
        code: types.CodeType,
        module: dict[str, object],
        builtins: dict[str, object],
        free: tuple[Value, ...],
        key: int,
        actions: Mapping[str, Action],
    ) -> None:
        self.actions = actions
        self.key = key  # the same for each walk of this code from the same call
        self.reader = reader
        self.ledger = reader.ledger
        self.code = code
        self.module = module
        self.builtins = builtins
        if len(code.co_code) >> 3 > self.ledger.steps_left:  # a fourth of its units: the rest may be caches
            raise Exhausted
        self.program: Program = decode(code)
        self.names = variable_names(code)
        self.closure = free
        self.free = dict(zip(range(len(self.names) - len(code.co_freevars), len(self.names)), free, strict=False))
        self.cells: dict[int, Cell] = {}
        self.namespace: dict[str, Value] = {}  # of a class body
        self.stack: list[Value | None] = []
        self.variables: list[Value | None] = []
        self.entries: dict[int, State] = {}
        self.index = 0
        self.live = True
        self.again = False
        self.recursive = False
        self.met: frozenset[tuple[str, str, int]] = frozenset()  # the effects that it leads to
        self.settled = (-1, False)  # the version at which the last walk ended, and whether a lock was held
        self.locked: list[tuple[int, int]] = []  # the instructions under a `with` statement of a lock
        self.returned: Value = EMPTY
        self.yielded: Value = EMPTY
        self.keyword_names: tuple[str, ...] = ()

    @property
    def offset(self) -> int:
        """Offset in bytes of the current instruction."""
        return self.program.offsets[self.index]

    @property
    def guarded(self) -> bool:
        """Whether a lock is held at the current instruction."""
        return any(first <= self.index <= last for first, last in self.locked)

    @property
    def drops(self) -> bool:
        """Whether nothing is made of what the current instruction gives."""
        return self.program.names[self.index + 1] == "POP_TOP"

    def hold(self, context: Value) -> None:
        """A `with` statement begins: if its context is a lock, note how far it reaches."""
        if not any(self.ledger.is_lock(place) for place in context):
            return
        handlers = self.program.handlers
        first = next((i for i in range(self.index + 1, len(handlers)) if handlers[i] is not None), None)
        if first is None:
            return
        target = handlers[first]
        last = max(i for i, handler in enumerate(handlers) if handler is target)
        if (first, last) not in self.locked:
            self.locked.append((first, last))

    def enter(self, arguments: list[Value]) -> None:
        """Join `arguments` into what the function is called with."""
        self.merge(0, [], [*arguments, *([None] * (len(self.names) - len(arguments)))])

    def covers(self, arguments: list[Value], guarded: bool) -> bool:
        """Say whether a walk before told all that one with these arguments would."""
        if self.settled != (self.ledger.version, guarded):
            return False
        known = self.entries[0][1]
        return all(not value or value <= (known[index] or EMPTY) for index, value in enumerate(arguments))

    def run(self) -> None:
        """Walk the code until nothing new appears."""
        for _ in range(PASSES_MAX):
            self.again = False
            version, returned = self.ledger.version, self.returned
            self._sweep()
            if self.recursive and self.returned != returned:
                self.ledger.version += 1  # what others made of the result so far is no longer all
                continue
            if not self.again and version == self.ledger.version:
                return
        raise Exhausted

    def _sweep(self) -> None:
        program, entries, targets = self.program, self.entries, self.program.targets
        actions = self.actions
        handlers = program.handlers
        self.ledger.spend(len(program.names))
        self.live = False
        for index, (name, argument) in enumerate(zip(program.names, program.arguments, strict=True)):
            if index in targets:
                if self.live:
                    self.merge(index, self.stack, self.variables)
                state = entries.get(index)
                self.live = state is not None
                if state is not None:
                    self.stack, self.variables = list(state[0]), list(state[1])
            if not self.live:
                continue
            self.index = index
            handler = handlers[index] if handlers else None
            if handler is not None and (index == 0 or handlers[index - 1] is not handler or index in targets):
                self._throw(handler)
            action = actions.get(name)
            if action is not None:
                action(self, argument)
            else:
                self._unknown_instruction(name, argument)
            if handler is not None and name[:5] == "STORE":
                self._throw_stored(handler, name, argument)

    def _throw_stored(self, handler: Handler, name: str, argument: int) -> None:
        """A variable was stored: what is raised after this finds it, and what was there before."""
        stored: tuple[int, ...] = (argument,) if name in ("STORE_FAST", "STORE_DEREF") else ()
        if name in ("STORE_FAST_STORE_FAST", "STORE_FAST_LOAD_FAST"):
            stored = (argument >> 4, argument & 15)
        caught = self.entries[handler.target][1]
        for index in stored:
            known, value = caught[index], self.variables[index]
            both = value if known is None or value is None else joined(known, value)
            if both is not None and both != known:
                caught[index] = both
                self.again |= handler.target <= self.index

    def _throw(self, handler: Handler) -> None:
        stack = self.stack[: handler.depth]
        if handler.pushes_offset:
            stack.append(EMPTY)
        stack.append(EMPTY)
        self.merge(handler.target, stack, self.variables)

    def _unknown_instruction(self, name: str, argument: int) -> None:
        number = opcode.opmap[name]
        grow = opcode.stack_effect(number, argument if number >= opcode.HAVE_ARGUMENT else None, jump=False)
        doubt: Value = frozenset((Outside(Origin.NOWHERE, self.code.co_name, None),))
        if grow < 0:
            del self.stack[grow:]
        self.stack.extend([doubt] * max(grow, 0))
        if grow <= 0 and self.stack:
            self.stack[-1] = doubt

    def merge(self, index: int, stack: list[Value | None], variables: list[Value | None]) -> None:
        """Join a state into the one with which `index` is reached."""
        state = self.entries.get(index)
        if state is None:
            self.entries[index] = (list(stack), list(variables))
            changed = True
        else:
            if len(state[0]) != len(stack):
                raise Exhausted  # not what a compiler makes
            changed = _join(state[0], stack) | _join(state[1], variables)
        if changed and index <= self.index:
            self.again = True

    def jump(self, index: int) -> None:
        """Go on at `index`, too."""
        self.merge(index, self.stack, self.variables)

    def stop(self) -> None:
        """The instruction after this one is not reached from here."""
        self.live = False

    def pop(self) -> Value:
        """Take the top of the stack."""
        return self.stack.pop() or EMPTY

    def pops(self, count: int) -> list[Value]:
        """Take `count` values off the stack, the deepest first."""
        if not count:
            return []
        taken = [value or EMPTY for value in self.stack[-count:]]
        del self.stack[-count:]
        return taken

    def push(self, value: Value) -> None:
        """Put `value` on the stack."""
        self.stack.append(value)

    def site(self) -> Site:
        """Return the site of the objects made by the current instruction."""
        return self.ledger.site((self.key, self.index))

    def fresh(self, contents: Value) -> Value:
        """Return a new object that holds `contents`."""
        site = self.site()
        self.ledger.put(site, contents)
        return frozenset((site,))

    def put_into(self, value: Value, contents: Value) -> None:
        """Put `contents` into those of the places of `value` that were made during the call."""
        for place in value:
            if type(place) is Site:
                self.ledger.put(place, contents)

    def load(self, index: int) -> Value:
        """Return a variable."""
        cell = self.cells.get(index)
        value = self.variables[index] or EMPTY
        return unsure(value | cell.written) if cell is not None else value

    def store(self, index: int, value: Value) -> None:
        """Set a variable."""
        if any(type(place) is Cell for place in value):
            return
        self.variables[index] = value
        cell = self.cells.get(index)
        if cell is not None and self.index >= cell.since:
            self._show(cell, value)

    def close_over(self, index: int, cell: Cell) -> None:
        """A function is being made that sees a variable: what it holds here, and what is stored from now on."""
        if self.index < cell.since:
            cell.since = self._earliest_after(self.index)
            self.again |= cell.since < self.index  # what the loop stored before was not shown
        self._show(cell, self.variables[index] or EMPTY)

    def _show(self, cell: Cell, value: Value) -> None:
        value = unsure(value)
        if not value <= cell.value:
            cell.value |= value
            if cell.read:
                self.ledger.version += 1

    def _earliest_after(self, index: int) -> int:
        """Return the first instruction in the order of the code that may run after the one at `index`."""
        program, handlers = self.program, self.program.handlers
        while True:
            backward = [
                program.arguments[i] for i in range(index, len(program.names)) if "JUMP_BACKWARD" in program.names[i]
            ]
            backward += [handler.target for handler in handlers[index:] if handler is not None]
            earliest = min(backward, default=index)
            if earliest >= index:
                return index
            index = earliest


def _join(old: list[Value | None], new: list[Value | None]) -> bool:
    changed = False
    for index, value in enumerate(new):
        known = old[index]
        if value is known or value is None:
            continue
        if known is None:
            old[index] = value
            changed |= bool(value)
        elif not (value and value <= known):
            both = joined(known, value)
            changed |= both != known
            old[index] = both
    return changed


def variable_names(code: types.CodeType) -> tuple[str, ...]:
    """Return the names of all variables in the order of the instructions' numbers."""
    names = code.co_varnames
    return (*names, *[name for name in code.co_cellvars if name not in names], *code.co_freevars)

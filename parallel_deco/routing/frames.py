"""Walks through the bytecode of one function and follows where each value comes from.

An abstract interpretation: the stack and the variables hold a `Value` (where the object may be from) instead of
an object. Where ways meet, values are joined; loops are walked until nothing new appears. One small function for
each instruction of CPython 3.11 to 3.14; an instruction that is not in the table only moves the stack, by what
CPython says of it, and leaves values that are in doubt.
"""

from __future__ import annotations

import opcode
import types
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

from parallel_deco.routing.bytecode import VERSION, Handler, Program, decode
from parallel_deco.routing.ledger import EffectKind, Exhausted, Ledger
from parallel_deco.routing.lookup import is_a
from parallel_deco.routing.values import EMPTY, Cell, Const, Made, Origin, Outside, Site, Value

__all__ = ["Frame", "Reader"]

PASSES_MAX: Final = 8

State: TypeAlias = "tuple[list[Value | None], list[Value | None]]"


class Reader(Protocol):
    """What a frame needs of the one who reads: the book, and somebody who knows what a call may do."""

    ledger: Ledger

    def call(
        self, callee: Value, arguments: list[Value], keywords: dict[str, Value], spread: Value | None = None
    ) -> Value:
        """Return what a call of `callee` may give, and write down what it may change."""
        ...

    def attribute(self, value: Value, name: str, to_call: bool = False) -> Value:
        """Return what an attribute of `value` may be."""
        ...

    def item(self, value: Value, key: Value) -> Value:
        """Return what ``value[key]`` may be."""
        ...

    def iterate(self, value: Value) -> Value:
        """Return what an iterator over `value` may be."""
        ...

    def module(self, name: str, top: bool) -> Value:
        """Return the module that an import statement would give, if it is loaded."""
        ...


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
    ) -> None:
        self.key = key  # the same for each walk of this code from the same call
        self.reader = reader
        self.ledger = reader.ledger
        self.code = code
        self.module = module
        self.builtins = builtins
        self.program: Program = decode(code)
        self.names = variable_names(code)
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
        self.returned: Value = EMPTY
        self.yielded: Value = EMPTY
        self.keyword_names: tuple[str, ...] = ()

    @property
    def offset(self) -> int:
        """Offset in bytes of the current instruction."""
        return self.program.offsets[self.index]

    def enter(self, arguments: list[Value]) -> None:
        """Join `arguments` into what the function is called with."""
        self.merge(0, [], [*arguments, *([None] * (len(self.names) - len(arguments)))])

    def run(self) -> None:
        """Walk the code until nothing new appears."""
        for _ in range(PASSES_MAX):
            self.again = False
            version, returned = self.ledger.version, self.returned
            self._sweep()
            if self.recursive and self.returned != returned:
                continue
            if not self.again and version == self.ledger.version:
                return
        raise Exhausted

    def _sweep(self) -> None:
        program, entries, targets = self.program, self.entries, self.program.targets
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
            action = ACTIONS.get(name)
            if action is not None:
                action(self, argument)
            else:
                self._unknown_instruction(name, argument)
            if handler is not None and name[:5] == "STORE":
                self._throw(handler)

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
        return value | cell.written if cell is not None else value

    def store(self, index: int, value: Value) -> None:
        """Set a variable."""
        if any(type(place) is Cell for place in value):
            return
        self.variables[index] = value
        cell = self.cells.get(index)
        if cell is not None and not value <= cell.value:
            cell.value |= value
            self.ledger.version += 1


def _join(old: list[Value | None], new: list[Value | None]) -> bool:
    changed = False
    for index, value in enumerate(new):
        known = old[index]
        if value is known or not value:
            if value is not None and known is None:
                old[index] = value
            continue
        if known is None:
            old[index] = value
            changed = True
        elif not value <= known:
            old[index] = known | value
            changed = True
    return changed


def variable_names(code: types.CodeType) -> tuple[str, ...]:
    """Return the names of all variables in the order of the instructions' numbers."""
    names = code.co_varnames
    return (*names, *[name for name in code.co_cellvars if name not in names], *code.co_freevars)


# --- the instructions ------------------------------------------------------------------------------------------

Action: TypeAlias = Callable[[Frame, int], None]
ACTIONS: Final[dict[str, Action]] = {}


def on(names: str) -> Callable[[Action], Action]:
    """Register a function for the instructions of these names."""

    def register(action: Action) -> Action:
        for name in names.split():
            ACTIONS[name] = action
        return action

    return register


def _moves(names: str, pops: int, pushes: int) -> None:
    """Instructions that take values and give fresh or constant ones."""

    def action(frame: Frame, argument: int) -> None:
        if pops:
            del frame.stack[-pops:]
        frame.stack.extend([EMPTY] * pushes)

    on(names)(action)


_moves(
    "NOP RESUME CACHE PRECALL COPY_FREE_VARS SETUP_ANNOTATIONS NOT_TAKEN TO_BOOL EXTENDED_ARG GET_AITER "
    "GET_YIELD_FROM_ITER GET_AWAITABLE ASYNC_GEN_WRAP LIST_TO_TUPLE GEN_START",
    0,
    0,
)
_moves("POP_TOP POP_ITER POP_EXCEPT PRINT_EXPR", 1, 0)
_moves("COMPARE_OP IS_OP CONTAINS_OP", 2, 1)
_moves("UNARY_NOT CONVERT_VALUE FORMAT_SIMPLE", 1, 1)
_moves("FORMAT_WITH_SPEC", 2, 1)
_moves("GET_LEN PUSH_EXC_INFO WITH_EXCEPT_START LOAD_ASSERTION_ERROR LOAD_LOCALS", 0, 1)
_moves("LOAD_SMALL_INT RETURN_GENERATOR MATCH_MAPPING MATCH_SEQUENCE", 0, 1)
_moves("CHECK_EXC_MATCH CHECK_EG_MATCH", 1, 1)
_moves("PREP_RERAISE_STAR", 2, 1)
_moves("END_ASYNC_FOR", 2, 0)
_moves("CLEANUP_THROW", 3, 2)
_moves("BUILD_TEMPLATE", 2, 1)


@on("LOAD_FAST LOAD_FAST_CHECK LOAD_FAST_BORROW LOAD_CLOSURE")
def _load_fast(frame: Frame, argument: int) -> None:
    cell = frame.cells.get(argument)
    if cell is not None:
        frame.push(frozenset((cell,)))
    elif argument in frame.free:
        frame.push(frame.free[argument])
    else:
        frame.push(frame.variables[argument] or EMPTY)


@on("LOAD_FAST_AND_CLEAR")
def _load_fast_and_clear(frame: Frame, argument: int) -> None:
    frame.stack.append(frame.variables[argument])
    frame.variables[argument] = None


@on("LOAD_FAST_LOAD_FAST LOAD_FAST_BORROW_LOAD_FAST_BORROW")
def _load_two(frame: Frame, argument: int) -> None:
    _load_fast(frame, argument >> 4)
    _load_fast(frame, argument & 15)


@on("STORE_FAST STORE_FAST_MAYBE_NULL")
def _store_fast(frame: Frame, argument: int) -> None:
    frame.store(argument, frame.pop())


@on("STORE_FAST_LOAD_FAST")
def _store_load(frame: Frame, argument: int) -> None:
    frame.store(argument >> 4, frame.pop())
    _load_fast(frame, argument & 15)


@on("STORE_FAST_STORE_FAST")
def _store_two(frame: Frame, argument: int) -> None:
    frame.store(argument >> 4, frame.pop())
    frame.store(argument & 15, frame.pop())


@on("DELETE_FAST")
def _delete_fast(frame: Frame, argument: int) -> None:
    frame.variables[argument] = None


@on("MAKE_CELL")
def _make_cell(frame: Frame, argument: int) -> None:
    cell = frame.cells.get(argument)
    if cell is None:
        cell = frame.cells[argument] = Cell()
    cell.value |= frame.variables[argument] or EMPTY


@on("LOAD_DEREF LOAD_CLASSDEREF")
def _load_deref(frame: Frame, argument: int) -> None:
    if argument not in frame.free:
        frame.push(frame.load(argument))
        return
    found: Value = EMPTY
    for place in frame.free[argument]:
        found |= place.value if type(place) is Cell else frozenset((place,))
    frame.push(found)


@on("STORE_DEREF DELETE_DEREF")
def _store_deref(frame: Frame, argument: int) -> None:
    value = EMPTY if frame.program.names[frame.index] == "DELETE_DEREF" else frame.pop()
    if argument not in frame.free:
        frame.store(argument, value)
        return
    cells = [place for place in frame.free[argument] if type(place) is Cell]
    if not cells:
        frame.ledger.record(EffectKind.WRITES_NONLOCAL, f"rebinds the nonlocal {frame.names[argument]!r}")
    for cell in cells:
        if not value <= cell.written:
            cell.written |= value
            cell.value |= value
            frame.ledger.version += 1


@on("LOAD_FROM_DICT_OR_DEREF")
def _load_dict_deref(frame: Frame, argument: int) -> None:
    frame.pop()
    _load_deref(frame, argument)


@on("LOAD_CONST LOAD_CONST_IMMORTAL LOAD_CONST_MORTAL")
def _load_const(frame: Frame, argument: int) -> None:
    frame.push(constant(frame.ledger, frame.code.co_consts[argument]))


def constant(ledger: Ledger, value: object) -> Value:
    """Return the value of a constant, which is told apart only where it may matter."""
    if type(value) not in (str, bool, types.CodeType, tuple, slice, int):
        return EMPTY
    site = ledger.constants.get(id(value))
    if site is None:
        site = ledger.constants[id(value)] = frozenset((Const(value),))
    return site


@on("RETURN_CONST")
def _return_const(frame: Frame, argument: int) -> None:
    frame.stop()


@on("LOAD_COMMON_CONSTANT")
def _load_common_constant(frame: Frame, argument: int) -> None:
    names = ("AssertionError", "NotImplementedError", "tuple", "all", "any", "list", "set")
    name = names[argument] if argument < len(names) else "AssertionError"
    frame.push(frame.ledger.look_up(frame.module, frame.builtins, name))


@on("LOAD_GLOBAL")
def _load_global(frame: Frame, argument: int) -> None:
    _push_callable(
        frame,
        frame.ledger.look_up(frame.module, frame.builtins, frame.code.co_names[argument >> 1]),
        bool(argument & 1),
    )


def _push_callable(frame: Frame, value: Value, with_null: bool) -> None:
    if with_null and VERSION < (3, 13):
        frame.stack.append(None)
    frame.push(value)
    if with_null and VERSION >= (3, 13):
        frame.stack.append(None)


@on("PUSH_NULL")
def _push_null(frame: Frame, argument: int) -> None:
    frame.stack.append(None)


@on("LOAD_BUILD_CLASS")
def _load_build_class(frame: Frame, argument: int) -> None:
    frame.push(frame.ledger.look_up(frame.builtins, frame.builtins, "__build_class__"))


@on("LOAD_NAME")
def _load_name(frame: Frame, argument: int) -> None:
    name = frame.code.co_names[argument]
    found = frame.namespace.get(name)
    frame.push(frame.ledger.look_up(frame.module, frame.builtins, name) if found is None else found)


@on("LOAD_FROM_DICT_OR_GLOBALS")
def _load_dict_global(frame: Frame, argument: int) -> None:
    frame.pop()
    _load_name(frame, argument)


@on("STORE_NAME")
def _store_name(frame: Frame, argument: int) -> None:
    frame.namespace[frame.code.co_names[argument]] = frame.pop()


@on("DELETE_NAME")
def _delete_name(frame: Frame, argument: int) -> None:
    frame.namespace.pop(frame.code.co_names[argument], None)


@on("STORE_GLOBAL")
def _store_global(frame: Frame, argument: int) -> None:
    frame.pop()
    frame.ledger.record(EffectKind.WRITES_GLOBAL, f"rebinds the global {frame.code.co_names[argument]!r}")


@on("DELETE_GLOBAL")
def _delete_global(frame: Frame, argument: int) -> None:
    frame.ledger.record(EffectKind.WRITES_GLOBAL, f"deletes the global {frame.code.co_names[argument]!r}")


@on("LOAD_ATTR")
def _load_attr(frame: Frame, argument: int) -> None:
    for_call = VERSION >= (3, 12) and bool(argument & 1)
    name = frame.code.co_names[argument >> 1 if VERSION >= (3, 12) else argument]
    _push_callable(frame, frame.reader.attribute(frame.pop(), name, for_call), for_call)


@on("LOAD_METHOD")
def _load_method(frame: Frame, argument: int) -> None:
    _push_callable(frame, frame.reader.attribute(frame.pop(), frame.code.co_names[argument], True), True)


@on("LOAD_SUPER_ATTR")
def _load_super_attr(frame: Frame, argument: int) -> None:
    callee, cls, receiver = frame.pops(3)
    found = frame.reader.call(callee, [cls, receiver], {})
    name = frame.code.co_names[argument >> 2]
    _push_callable(frame, frame.reader.attribute(found, name), bool(argument & 1))


@on("LOAD_SPECIAL")
def _load_special(frame: Frame, argument: int) -> None:
    names = ("__enter__", "__exit__", "__aenter__", "__aexit__")
    _push_callable(frame, frame.reader.attribute(frame.pop(), names[argument], True), True)


@on("STORE_ATTR")
def _store_attr(frame: Frame, argument: int) -> None:
    value, owner = frame.pops(2)
    name = frame.code.co_names[argument]
    frame.ledger.change(owner, f"sets the attribute {name!r} of", EffectKind.WRITES_ATTRIBUTE)
    for place in owner:
        if type(place) is Site:
            frame.ledger.put_attribute(place, name, value)


@on("DELETE_ATTR")
def _delete_attr(frame: Frame, argument: int) -> None:
    name = frame.code.co_names[argument]
    frame.ledger.change(frame.pop(), f"deletes the attribute {name!r} of", EffectKind.WRITES_ATTRIBUTE)


@on("STORE_SUBSCR")
def _store_subscr(frame: Frame, argument: int) -> None:
    value, owner, _ = frame.pops(3)
    frame.ledger.change(owner, "stores into")
    frame.put_into(owner, value)


@on("STORE_SLICE")
def _store_slice(frame: Frame, argument: int) -> None:
    value, owner, _, _ = frame.pops(4)
    frame.ledger.change(owner, "stores into")
    frame.put_into(owner, frame.ledger.inside(value))


@on("DELETE_SUBSCR")
def _delete_subscr(frame: Frame, argument: int) -> None:
    owner, _ = frame.pops(2)
    frame.ledger.change(owner, "deletes from")


@on("BINARY_SUBSCR")
def _binary_subscr(frame: Frame, argument: int) -> None:
    owner, key = frame.pops(2)
    frame.push(frame.reader.item(owner, key))


@on("BINARY_SLICE")
def _binary_slice(frame: Frame, argument: int) -> None:
    owner = frame.pops(3)[0]
    frame.push(frame.reader.item(owner, constant(frame.ledger, SLICE)))


SLICE: Final = slice(None)


@on("BUILD_SLICE")
def _build_slice(frame: Frame, argument: int) -> None:
    frame.pops(argument)
    frame.push(constant(frame.ledger, SLICE))


_SUBSCRIPT: Final = 26  # 3.14
_INPLACE: Final = range(13, 26)
_JOINING: Final = frozenset((0, 5, 7, 13, 18, 20))  # + * | may copy the elements of a container


@on("BINARY_OP")
def _binary_op(frame: Frame, argument: int) -> None:
    left, right = frame.pops(2)
    if argument == _SUBSCRIPT:
        frame.push(frame.reader.item(left, right))
        return
    inplace = argument in _INPLACE
    if inplace:
        frame.ledger.change(left, "changes in place")
    if argument not in _JOINING:
        result: Value = frozenset((frame.site(),))
    else:
        result = frame.fresh(_elements(frame.ledger, left) | _elements(frame.ledger, right))
        if inplace:
            frame.put_into(left, frame.ledger.inside(right, "[*]"))
    frame.push(left | result if inplace and left else result)


def _elements(ledger: Ledger, value: Value) -> Value:
    return ledger.inside(value, "[*]") if value else EMPTY


@on("UNARY_NEGATIVE UNARY_INVERT UNARY_POSITIVE")
def _unary(frame: Frame, argument: int) -> None:
    frame.pop()
    frame.push(frozenset((frame.site(),)))


@on("FORMAT_VALUE")
def _format_value(frame: Frame, argument: int) -> None:
    frame.pops(2 if argument & 4 else 1)
    frame.push(EMPTY)


@on("BUILD_INTERPOLATION")
def _build_interpolation(frame: Frame, argument: int) -> None:
    frame.push(frame.fresh(frame.pops(3 if argument & 1 else 2)[0]))


@on("BUILD_STRING")
def _build_string(frame: Frame, argument: int) -> None:
    frame.pops(argument)
    frame.push(EMPTY)


def _union(values: list[Value]) -> Value:
    return EMPTY.union(*values) if values else EMPTY


@on("BUILD_TUPLE")
def _build_tuple(frame: Frame, argument: int) -> None:
    fields = frame.pops(argument)
    result = frame.fresh(_union(fields))
    site = frame.site()
    if site.fields is None:
        site.fields = fields
    else:
        site.fields = [old | new for old, new in zip(site.fields, fields, strict=True)]
    frame.push(result)


@on("BUILD_LIST BUILD_SET")
def _build_list(frame: Frame, argument: int) -> None:
    frame.push(frame.fresh(_union(frame.pops(argument))))


@on("BUILD_MAP")
def _build_map(frame: Frame, argument: int) -> None:
    frame.push(frame.fresh(_union(frame.pops(2 * argument))))


@on("BUILD_CONST_KEY_MAP")
def _build_const_key_map(frame: Frame, argument: int) -> None:
    frame.push(frame.fresh(_union(frame.pops(argument + 1)[:-1])))


@on("LIST_APPEND SET_ADD")
def _list_append(frame: Frame, argument: int) -> None:
    value = frame.pop()
    frame.put_into(frame.stack[-argument] or EMPTY, value)


@on("MAP_ADD")
def _map_add(frame: Frame, argument: int) -> None:
    key, value = frame.pops(2)
    frame.put_into(frame.stack[-argument] or EMPTY, key | value)


@on("LIST_EXTEND SET_UPDATE DICT_UPDATE DICT_MERGE")
def _list_extend(frame: Frame, argument: int) -> None:
    value = frame.reader.iterate(frame.pop())
    frame.put_into(frame.stack[-argument] or EMPTY, frame.ledger.inside(value))


@on("UNPACK_SEQUENCE")
def _unpack_sequence(frame: Frame, argument: int) -> None:
    frame.stack.extend(reversed(fields_of(frame, frame.pop(), argument)))


def fields_of(frame: Frame, value: Value, count: int) -> list[Value]:
    """Return what the `count` items of `value` may be, one by one if it is a known tuple."""
    fields: list[Value] = [EMPTY] * count
    for place in value:
        if type(place) is Site and place.fields is not None and len(place.fields) == count:
            place.read = True
            fields = [old | new for old, new in zip(fields, place.fields, strict=True)]
        else:
            single: Value = frozenset((place,))
            inner = frame.ledger.inside(frame.reader.iterate(single))
            fields = [old | inner for old in fields]
    return fields


@on("UNPACK_EX")
def _unpack_ex(frame: Frame, argument: int) -> None:
    inner = frame.ledger.inside(frame.reader.iterate(frame.pop()))
    frame.stack.extend([inner] * (argument >> 8))
    frame.push(frame.fresh(inner))
    frame.stack.extend([inner] * (argument & 255))


@on("GET_ITER")
def _get_iter(frame: Frame, argument: int) -> None:
    frame.push(frame.reader.iterate(frame.pop()))


@on("FOR_ITER")
def _for_iter(frame: Frame, argument: int) -> None:
    iterator = frame.pop()
    if VERSION >= (3, 12):  # the END_FOR at the target takes them off
        frame.stack.extend((iterator, EMPTY))
        frame.jump(argument)
        frame.stack.pop()
    else:
        frame.jump(argument)
        frame.push(iterator)
    frame.push(frame.ledger.inside(iterator))


@on("END_FOR")
def _end_for(frame: Frame, argument: int) -> None:
    del frame.stack[-(2 if VERSION == (3, 12) else 1) :]


@on("GET_ANEXT")
def _get_anext(frame: Frame, argument: int) -> None:
    frame.push(frame.ledger.inside(frame.stack[-1] or EMPTY))


@on("SEND")
def _send(frame: Frame, argument: int) -> None:
    frame.pop()
    source = frame.stack[-1] or EMPTY
    result = frame.ledger.reach(source)
    frame.yielded |= result
    if VERSION >= (3, 12):
        frame.push(result)
        frame.jump(argument)
    else:
        frame.stack[-1] = result
        frame.jump(argument)
        frame.stack[-1] = source
        frame.push(result)


@on("END_SEND")
def _end_send(frame: Frame, argument: int) -> None:
    del frame.stack[-2]


@on("YIELD_VALUE")
def _yield_value(frame: Frame, argument: int) -> None:
    frame.yielded |= frame.pop()
    frame.push(EMPTY)


@on("RETURN_VALUE")
def _return_value(frame: Frame, argument: int) -> None:
    frame.returned |= frame.pop()
    frame.stop()


@on("RERAISE RAISE_VARARGS INTERPRETER_EXIT")
def _stop(frame: Frame, argument: int) -> None:
    frame.stop()


@on("SWAP")
def _swap(frame: Frame, argument: int) -> None:
    stack = frame.stack
    stack[-1], stack[-argument] = stack[-argument], stack[-1]


@on("COPY")
def _copy(frame: Frame, argument: int) -> None:
    frame.stack.append(frame.stack[-argument])


@on("JUMP_FORWARD JUMP_BACKWARD JUMP_BACKWARD_NO_INTERRUPT JUMP JUMP_NO_INTERRUPT")
def _jump(frame: Frame, argument: int) -> None:
    frame.jump(argument)
    frame.stop()


@on(
    "POP_JUMP_IF_TRUE POP_JUMP_IF_FALSE POP_JUMP_IF_NONE POP_JUMP_IF_NOT_NONE "
    "POP_JUMP_FORWARD_IF_TRUE POP_JUMP_FORWARD_IF_FALSE POP_JUMP_FORWARD_IF_NONE POP_JUMP_FORWARD_IF_NOT_NONE "
    "POP_JUMP_BACKWARD_IF_TRUE POP_JUMP_BACKWARD_IF_FALSE POP_JUMP_BACKWARD_IF_NONE POP_JUMP_BACKWARD_IF_NOT_NONE"
)
def _pop_jump(frame: Frame, argument: int) -> None:
    frame.stack.pop()
    frame.jump(argument)


@on("JUMP_IF_TRUE_OR_POP JUMP_IF_FALSE_OR_POP")
def _jump_or_pop(frame: Frame, argument: int) -> None:
    frame.jump(argument)
    frame.stack.pop()


@on("BEFORE_WITH BEFORE_ASYNC_WITH")
def _before_with(frame: Frame, argument: int) -> None:
    context = frame.pop()
    marks = ("__aenter__", "__aexit__") if "ASYNC" in frame.program.names[frame.index] else ("__enter__", "__exit__")
    entered = frame.reader.call(frame.reader.attribute(context, marks[0], True), [], {})
    frame.reader.call(frame.reader.attribute(context, marks[1], True), [EMPTY, EMPTY, EMPTY], {})
    frame.push(EMPTY)
    frame.push(entered)


@on("MATCH_CLASS")
def _match_class(frame: Frame, argument: int) -> None:
    frame.push(frame.fresh(frame.ledger.inside(frame.pops(3)[0])))


@on("MATCH_KEYS")
def _match_keys(frame: Frame, argument: int) -> None:
    frame.push(frame.fresh(frame.ledger.inside(frame.stack[-2] or EMPTY)))


@on("IMPORT_NAME")
def _import_name(frame: Frame, argument: int) -> None:
    _, names = frame.pops(2)
    frame.push(frame.reader.module(frame.code.co_names[argument], top=not names))


@on("IMPORT_FROM")
def _import_from(frame: Frame, argument: int) -> None:
    frame.push(frame.reader.attribute(frame.stack[-1] or EMPTY, frame.code.co_names[argument]))


@on("CALL_INTRINSIC_1")
def _intrinsic_1(frame: Frame, argument: int) -> None:
    value = frame.pop()  # a list made a tuple, `+x`, a generator's StopIteration: the value goes on
    frame.push(value)


@on("CALL_INTRINSIC_2")
def _intrinsic_2(frame: Frame, argument: int) -> None:
    frame.push(frame.pops(2)[1])


# --- functions and calls ---------------------------------------------------------------------------------------


@on("MAKE_FUNCTION")
def _make_function(frame: Frame, argument: int) -> None:
    code = next((place.value for place in frame.pop() if type(place) is Const), None)
    if not is_a(code, types.CodeType):
        raise Exhausted
    made = frame.ledger.made((frame.key, frame.index), code, frame.module)
    if VERSION < (3, 13):
        for flag in (8, 4, 2, 1):
            if argument & flag:
                _set_part(frame, made, flag, frame.pop())
    frame.push(frozenset((made,)))


@on("SET_FUNCTION_ATTRIBUTE")
def _set_function_attribute(frame: Frame, argument: int) -> None:
    part, function = frame.pops(2)
    for place in function:
        if type(place) is Made:
            _set_part(frame, place, argument, part)
    frame.push(function)


def _set_part(frame: Frame, made: Made, flag: int, part: Value) -> None:
    if flag == 8:
        for place in part:
            if type(place) is Site and place.fields is not None:
                made.closure = tuple(place.fields)
    elif flag == 2:
        made.keyword_defaults |= part
    elif flag == 1:
        made.defaults |= part


@on("KW_NAMES")
def _kw_names(frame: Frame, argument: int) -> None:
    frame.keyword_names = frame.code.co_consts[argument]


@on("CALL")
def _call(frame: Frame, argument: int) -> None:
    names, frame.keyword_names = frame.keyword_names, ()
    _finish_call(frame, argument, names)


@on("CALL_KW")
def _call_kw(frame: Frame, argument: int) -> None:
    found = next((place.value for place in frame.pop() if type(place) is Const), ())
    _finish_call(frame, argument, found if type(found) is tuple else ())


def _finish_call(frame: Frame, count: int, names: tuple[str, ...]) -> None:
    arguments = frame.pops(count)
    second, first = frame.stack.pop(), frame.stack.pop()
    # (callable, NULL or self) from 3.13 on; before, (NULL, callable) or (callable, self)
    if first is None:
        callee = second or EMPTY
    else:
        callee = first
        if second is not None:
            arguments.insert(0, second)
    keywords = dict(zip(names, arguments[len(arguments) - len(names) :], strict=False)) if names else {}
    positional = arguments[: len(arguments) - len(names)]
    frame.push(frame.reader.call(callee, positional, keywords))


@on("CALL_FUNCTION_EX")
def _call_function_ex(frame: Frame, argument: int) -> None:
    has_keywords = VERSION >= (3, 14) or argument & 1
    keywords = frame.pop() if has_keywords else EMPTY
    positional = frame.pop()
    second, first = frame.stack.pop(), frame.stack.pop()
    callee = (second if first is None else first) or EMPTY
    spread = frame.ledger.inside(keywords)
    known = next(iter(positional)) if len(positional) == 1 else None
    if type(known) is Site and known.fields is not None and not keywords:
        frame.push(frame.reader.call(callee, list(known.fields), {}))
        return
    spread |= frame.ledger.inside(frame.reader.iterate(positional))
    frame.push(frame.reader.call(callee, [], {}, spread))

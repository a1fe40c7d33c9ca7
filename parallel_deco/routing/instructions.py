"""What each instruction of CPython 3.11 to 3.14 does with values: one small function each.

An instruction that is not here only moves the stack, by what CPython says of it, and leaves values that are in
doubt.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Final

from parallel_deco.routing.bytecode import VERSION
from parallel_deco.routing.frames import Action, Frame
from parallel_deco.routing.hooks import IDENTITY, ORDER, TEXT, TRUTH_OF
from parallel_deco.routing.known import steers_library
from parallel_deco.routing.ledger import EffectKind, Exhausted, Ledger
from parallel_deco.routing.looks import ALL, DEEP, item_step
from parallel_deco.routing.lookup import is_a, mro
from parallel_deco.routing.orders import keep_item, know_names, names_are_seen, orders_in, take_items
from parallel_deco.routing.values import (
    EMPTY,
    NO_ARGUMENTS,
    TRUTH,
    Cell,
    Const,
    Given,
    Made,
    Method,
    Outside,
    Place,
    Site,
    Value,
    joined,
    unsure,
)

__all__ = ["ACTIONS"]

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
    "NOP RESUME CACHE PRECALL COPY_FREE_VARS NOT_TAKEN EXTENDED_ARG ASYNC_GEN_WRAP LIST_TO_TUPLE GEN_START",
    0,
    0,
)
_moves("POP_TOP POP_ITER POP_EXCEPT PRINT_EXPR", 1, 0)
_moves("IS_OP", 2, 1)
_moves("GET_LEN WITH_EXCEPT_START LOAD_ASSERTION_ERROR LOAD_LOCALS", 0, 1)
_moves("LOAD_SMALL_INT RETURN_GENERATOR MATCH_MAPPING MATCH_SEQUENCE", 0, 1)
_moves("PREP_RERAISE_STAR", 2, 1)
_moves("END_ASYNC_FOR", 2, 0)
_moves("CLEANUP_THROW", 3, 2)
_moves("BUILD_TEMPLATE", 2, 1)


@on("LOAD_FAST LOAD_FAST_CHECK LOAD_FAST_BORROW LOAD_CLOSURE")
def _load_fast(frame: Frame, argument: int) -> None:
    cell = frame.cells.get(argument)
    if cell is not None:
        frame.close_over(argument, cell)
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
    frame.cells[argument] = frame.ledger.cell(frame.key, argument)


@on("LOAD_DEREF LOAD_CLASSDEREF")
def _load_deref(frame: Frame, argument: int) -> None:
    if argument not in frame.free:
        frame.push(frame.load(argument))
        return
    found: Value = EMPTY
    for place in frame.free[argument]:
        if type(place) is Cell:
            place.read = True
            found |= place.value
        else:
            found |= frozenset((place,))
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
            cell.value |= unsure(value)
            frame.ledger.version += 1


@on("LOAD_FROM_DICT_OR_DEREF")
def _load_dict_deref(frame: Frame, argument: int) -> None:
    frame.pop()
    _load_deref(frame, argument)


SLICE: Final = slice(None)
_INDEXED_BY: Final = ("BINARY_SUBSCR", "BINARY_OP", "BUILD_TUPLE")


@on("LOAD_CONST LOAD_CONST_IMMORTAL LOAD_CONST_MORTAL")
def _load_const(frame: Frame, argument: int) -> None:
    value = frame.code.co_consts[argument]
    if value is None and frame.program.names[frame.index + 1] in _INDEXED_BY:  # as it is, a new axis of an array
        value = SLICE
    frame.push(frame.ledger.constant(value))


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


@on("SETUP_ANNOTATIONS")
def _setup_annotations(frame: Frame, argument: int) -> None:
    frame.namespace["__annotations__"] = frozenset((frame.site(),))


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
    found = frame.reader.call(callee, Given([cls, receiver]))
    name = frame.code.co_names[argument >> 2]
    _push_callable(frame, frame.reader.attribute(found, name), bool(argument & 1))


@on("LOAD_SPECIAL")
def _load_special(frame: Frame, argument: int) -> None:
    names = ("__enter__", "__exit__", "__aenter__", "__aexit__")
    context = frame.pop()
    if argument in (0, 2):
        frame.hold(context)
    _push_callable(frame, frame.reader.attribute(context, names[argument], True), True)


@on("STORE_ATTR")
def _store_attr(frame: Frame, argument: int) -> None:
    value, owner = frame.pops(2)
    name = frame.code.co_names[argument]
    verb = f"sets the attribute {name!r} of"
    for place in owner:
        one = frozenset((place,))
        frame.ledger.change(one, verb, EffectKind.WRITES_ATTRIBUTE, atomic=not _is_acted_on(place), step="." + name)
        if isinstance(place, (Outside, Site)):
            frame.reader.set_attribute(place, name, value)


def _is_acted_on(place: Place) -> bool:
    """Whether others look at the attributes of something without naming them; of what is unknown, who holds it."""
    while type(place) is Outside and place.examples is None and place.parent is not None:
        place = place.parent
    return type(place) is Outside and any(map(steers_library, place.examples or ()))


@on("DELETE_ATTR")
def _delete_attr(frame: Frame, argument: int) -> None:
    name = frame.code.co_names[argument]
    owner = frame.pop()
    frame.ledger.change(owner, f"deletes the attribute {name!r} of", EffectKind.WRITES_ATTRIBUTE)
    frame.reader.delete_attribute(owner, name)


@on("STORE_SUBSCR")
def _store_subscr(frame: Frame, argument: int) -> None:
    value, owner, key = frame.pops(3)
    frame.ledger.change(owner, "stores into", atomic=True, step=item_step(key))
    frame.reader.operate(owner, "__setitem__", Given([key, value]))
    frame.put_into(owner, value)
    keep_item(owner, _name_of(key), value)
    _look_for(frame, key)


@on("STORE_SLICE")
def _store_slice(frame: Frame, argument: int) -> None:
    value, owner, _, _ = frame.pops(4)
    frame.ledger.change(owner, "stores into", atomic=True)
    frame.put_into(owner, frame.ledger.inside(value))


@on("DELETE_SUBSCR")
def _delete_subscr(frame: Frame, argument: int) -> None:
    owner, key = frame.pops(2)
    frame.ledger.change(owner, "deletes from")
    _operate(frame, owner, "__delitem__", given=Given([key]))


@on("BINARY_SUBSCR")
def _binary_subscr(frame: Frame, argument: int) -> None:
    owner, key = frame.pops(2)
    _look_for(frame, key)
    frame.push(frame.reader.item(owner, key))


@on("BINARY_SLICE")
def _binary_slice(frame: Frame, argument: int) -> None:
    owner, *ends = frame.pops(3)
    for end in ends:
        frame.reader.operate(end, "__index__", NO_ARGUMENTS)
    frame.push(frame.reader.item(owner, frame.ledger.constant(SLICE)))


@on("BUILD_SLICE")
def _build_slice(frame: Frame, argument: int) -> None:
    for end in frame.pops(argument):
        frame.reader.operate(end, "__index__", NO_ARGUMENTS)
    frame.push(frame.ledger.constant(SLICE))


_SUBSCRIPT: Final = 26  # 3.14
_OPERATORS: Final = (
    *("add", "and", "floordiv", "lshift", "matmul", "mul", "mod", "or", "pow", "rshift", "sub", "truediv", "xor"),
)
_INPLACE: Final = range(13, 26)
_LOGICAL: Final = frozenset((1, 7, 12, 14, 20, 25))  # & | ^
_JOINING: Final = frozenset((0, 1, 5, 7, 10, 12, 13, 14, 18, 20, 23, 25))  # + * | & - ^ may copy a container's elements


@on("BINARY_OP")
def _binary_op(frame: Frame, argument: int) -> None:
    left, right = frame.pops(2)
    if argument == _SUBSCRIPT:
        _look_for(frame, right)
        frame.push(frame.reader.item(left, right))
        return
    if left == right == TRUTH and argument in _LOGICAL:
        frame.push(TRUTH)
        return
    inplace = argument in _INPLACE
    site = frame.site()
    if inplace:
        frame.ledger.change(frozenset(filter(_changes_in_place, left)), "changes in place")
    for value in (right,) if inplace else (left, right):
        frame.ledger.look(value, DEEP)
    if argument not in _JOINING:
        result: Value = frozenset((site,))
    else:
        result = frame.fresh(_elements(frame.ledger, left) | _elements(frame.ledger, right))
        if argument % 13 == _OR:
            take_items(frame.ledger, result, left)
            take_items(frame.ledger, result, right)
        if inplace:
            frame.put_into(left, frame.ledger.inside(right, "[*]"))
    if argument % 13 == _MODULO:
        frame.reader.ask(right, (*TEXT, "__getitem__", "__missing__"))
    if argument in _TEXT_OPERATORS and len(left) == 1:
        _join_texts(frame, argument, left)
    for place in (*left, *right):
        site.mutable |= type(place) is Site and place.mutable
    name = _OPERATORS[argument % 13]
    result |= frame.reader.operate(left, f"__{'i' if inplace else ''}{name}__", Given([right]))
    result |= frame.reader.operate(left, f"__{name}__", Given([right]))
    result |= frame.reader.operate(right, f"__r{name}__", Given([left]))
    frame.reader.as_number(left | right)
    frame.push(frozenset([x for x in left if type(x) is not Method]) | result if inplace and left else result)


_ADD, _MODULO, _OR = 0, 6, 7
_TEXT_OPERATORS: Final = (_ADD, _MODULO)


def _join_texts(frame: Frame, argument: int, left: Value) -> None:
    """``"a" + x`` and ``"a%s" % x``: what they begin with is known."""
    prefix = _prefix(left)
    if argument == _MODULO:
        prefix = prefix.partition("%")[0]
    frame.site().prefix = prefix


def _prefix(value: Value) -> str:
    """Return the text that `value` is, as something that other texts are made to begin with."""
    found = _constant_of(value) if len(value) == 1 else ""
    return found if type(found) is str else ""


def _changes_in_place(place: Place) -> bool:
    """Whether an operator may change an object itself: numbers and texts that a function made are replaced by it."""
    return type(place) is not Site or place.mutable


def _elements(ledger: Ledger, value: Value) -> Value:
    return ledger.inside(value, "[*]") if value else EMPTY


_UNARY: Final = {"UNARY_NEGATIVE": "__neg__", "UNARY_INVERT": "__invert__", "UNARY_POSITIVE": "__pos__"}


@on(" ".join(_UNARY))
def _unary(frame: Frame, argument: int) -> None:
    name = frame.program.names[frame.index]
    value = frame.pop()
    result = _operate(frame, value, _UNARY[name])
    frame.push(TRUTH if value == TRUTH and name == "UNARY_INVERT" else result | {frame.site()})


def _operate(frame: Frame, value: Value, *names: str, given: Given = NO_ARGUMENTS) -> Value:
    """Call the special methods that an instruction may lead to, of what is no argument; return what they give."""
    frame.ledger.look(value, ALL)
    return _union([frame.reader.operate(value, name, given) for name in names if value])


_EQUAL: Final = ("__eq__", "__ne__")
#: What the operators of COMPARE_OP may call.
_COMPARISONS: Final = (ORDER, ORDER, _EQUAL, _EQUAL, ORDER, ORDER)
_COMPARED_FROM: Final = 5 if VERSION >= (3, 13) else 4 if VERSION >= (3, 12) else 0


@on("COMPARE_OP")
def _compare(frame: Frame, argument: int) -> None:
    left, right = frame.pops(2)
    result = TRUTH if left or right else EMPTY
    for value, other in ((left, right), (right, left)):
        names, given = _COMPARISONS[argument >> _COMPARED_FROM], Given([other])
        result |= _operate(frame, value, *names, given=given)
        frame.reader.ask(value, names, given)
    frame.reader.as_number(left | right)
    frame.push(result)


@on("CONTAINS_OP")
def _contains(frame: Frame, argument: int) -> None:
    item, container = frame.pops(2)
    frame.ledger.look(container, item_step(item))
    frame.reader.hand_over(container, "the operator in")
    for name in ("__contains__", "__iter__", "__getitem__"):
        frame.reader.operate(container, name, Given([item]))
    frame.reader.ask(container, ("__eq__",), Given([EMPTY]))
    _compare_keys(frame, item)
    frame.push(EMPTY)


def _compare_keys(frame: Frame, keys: Value) -> None:
    """Objects are looked for, or are the keys of a dict."""
    frame.reader.ask(keys, IDENTITY)


def _look_for(frame: Frame, key: Value) -> None:
    """An object stands in square brackets: it may be the key of a dict or a position."""
    frame.reader.ask(key, (*IDENTITY, "__index__"))


@on("TO_BOOL")
def _to_bool(frame: Frame, argument: int) -> None:
    _operate(frame, frame.stack[-1] or EMPTY, *TRUTH_OF)


def _asks(names: str, pops: int, methods: tuple[str, ...]) -> None:
    """Instructions that ask the first of some values, and give a fresh or constant one."""

    def action(frame: Frame, argument: int) -> None:
        value = frame.pops(pops)[0]
        frame.ledger.look(value, ALL)
        frame.reader.ask(value, methods)
        frame.push(EMPTY)

    on(names)(action)


_asks("CONVERT_VALUE FORMAT_SIMPLE", 1, TEXT)
_asks("FORMAT_WITH_SPEC", 2, TEXT)


@on("UNARY_NOT")
def _unary_not(frame: Frame, argument: int) -> None:
    _operate(frame, frame.pop(), *TRUTH_OF)
    frame.push(EMPTY)


@on("FORMAT_VALUE")
def _format_value(frame: Frame, argument: int) -> None:
    value = frame.pops(2 if argument & 4 else 1)[0]
    frame.ledger.look(value, ALL)
    frame.reader.ask(value, TEXT)
    frame.push(EMPTY)


@on("BUILD_INTERPOLATION")
def _build_interpolation(frame: Frame, argument: int) -> None:
    frame.push(frame.fresh(frame.pops(3 if argument & 1 else 2)[0]))


@on("BUILD_STRING")
def _build_string(frame: Frame, argument: int) -> None:
    prefix = _prefix(frame.pops(argument)[0])
    if not prefix:
        frame.push(EMPTY)
        return
    frame.push(frozenset((frame.site(),)))
    frame.site().prefix = prefix


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
        both = [joined(old, new) for old, new in zip(site.fields, fields, strict=True)]
        if site.read and both != site.fields:
            frame.ledger.version += 1
        site.fields = both
    frame.push(result)


@on("BUILD_LIST BUILD_SET")
def _build_list(frame: Frame, argument: int) -> None:
    items = frame.pops(argument)
    _build(frame, items)
    frame.site().listed = frame.program.names[frame.index] == "BUILD_LIST"
    if not frame.site().listed:
        _compare_keys(frame, _union(items))


@on("BUILD_MAP")
def _build_map(frame: Frame, argument: int) -> None:
    items = frame.pops(2 * argument)
    _build(frame, items)
    _compare_keys(frame, _union(items[::2]))
    know_names(frozenset((frame.site(),)), True)
    for key, value in zip(items[::2], items[1::2], strict=True):
        keep_item(frozenset((frame.site(),)), _name_of(key), value)


@on("BUILD_CONST_KEY_MAP")
def _build_const_key_map(frame: Frame, argument: int) -> None:
    *values, keys = frame.pops(argument + 1)
    _build(frame, values)
    names = _constant_of(keys)
    know_names(frozenset((frame.site(),)), True)
    for name, value in zip(names if type(names) is tuple else (), values, strict=False):
        keep_item(frozenset((frame.site(),)), name, value)


def _name_of(key: Value) -> object:
    """Return the constant that a key is, if it is surely that."""
    return _constant_of(key) if len(key) == 1 else None


def _constant_of(key: Value) -> object:
    return next((place.value for place in key if type(place) is Const), None)


def _build(frame: Frame, contents: list[Value]) -> None:
    frame.push(frame.fresh(_union(contents)))
    frame.site().mutable = True


@on("LIST_APPEND SET_ADD")
def _list_append(frame: Frame, argument: int) -> None:
    value = frame.pop()
    if frame.program.names[frame.index] == "SET_ADD":
        _compare_keys(frame, value)
    frame.put_into(frame.stack[-argument] or EMPTY, value)


@on("MAP_ADD")
def _map_add(frame: Frame, argument: int) -> None:
    key, value = frame.pops(2)
    _compare_keys(frame, key)
    target = frame.stack[-argument] or EMPTY
    frame.put_into(target, key | value)
    keep_item(target, _name_of(key), value)


@on("LIST_EXTEND SET_UPDATE DICT_UPDATE DICT_MERGE")
def _list_extend(frame: Frame, argument: int) -> None:
    source = frame.pop()
    target = frame.stack[-argument] or EMPTY
    frame.put_into(target, frame.ledger.inside(frame.reader.iterate(source)))
    take_items(frame.ledger, target, source)


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


@on("GET_ITER GET_YIELD_FROM_ITER")
def _get_iter(frame: Frame, argument: int) -> None:
    frame.push(frame.reader.loop_over(frame.pop()))


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


@on("GET_AWAITABLE GET_AITER")
def _get_awaitable(frame: Frame, argument: int) -> None:
    name = "__await__" if frame.program.names[frame.index] == "GET_AWAITABLE" else "__aiter__"
    value = frame.pop()
    frame.push(value | frame.reader.operate(value, name, NO_ARGUMENTS))


@on("GET_ANEXT")
def _get_anext(frame: Frame, argument: int) -> None:
    source = frame.stack[-1] or EMPTY
    found = frame.reader.operate(source, "__anext__", NO_ARGUMENTS)
    frame.push(frame.ledger.inside(source) | frame.ledger.reach(found))


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
    frame.returned |= unsure(frame.pop())
    frame.stop()


@on("PUSH_EXC_INFO")
def _push_exc_info(frame: Frame, argument: int) -> None:
    frame.stack.insert(-1, EMPTY)


@on("CHECK_EXC_MATCH")
def _match_exception(frame: Frame, argument: int) -> None:
    classes = frame.pop()
    if _is_named(frame):
        frame.stack[-1] = frozenset([place for place in frame.ledger.thrown() if _may_be_caught(place, classes)])
    frame.push(EMPTY)


@on("CHECK_EG_MATCH")
def _match_group(frame: Frame, argument: int) -> None:
    frame.stack[-1] = frame.ledger.thrown() if _is_named(frame) else EMPTY


def _is_named(frame: Frame) -> bool:
    """Whether what is caught here gets a name."""
    following = frame.program.names[frame.index + 1 : frame.index + 5]
    return any(name[:5] == "STORE" for name in following)


def _may_be_caught(place: Place, classes: Value) -> bool:
    """Whether an exception may be of one of these classes: of what is not known in full, any may be."""
    cls = place.cls if type(place) is Site and place.made_by is None else None
    kinds = [x.examples[0] for x in classes if type(x) is Outside and x.examples is not None and len(x.examples) == 1]
    if cls is None or len(kinds) < len(classes) or not all(isinstance(kind, type) for kind in kinds):
        return True
    return any(kind in mro(cls) for kind in kinds)


@on("RAISE_VARARGS")
def _raise(frame: Frame, argument: int) -> None:
    for value in frame.pops(argument):
        frame.ledger.throw(value | _made_of(frame, value))
    frame.stop()


def _made_of(frame: Frame, value: Value) -> Value:
    """Return the exceptions that are made of classes when these are raised."""
    classes = frozenset([place for place in value if type(place) is Outside and _are_classes(place)])
    return frame.reader.call(classes, NO_ARGUMENTS) if classes else EMPTY


def _are_classes(place: Outside) -> bool:
    return place.examples is not None and any(is_a(thing, type) for thing in place.examples)


@on("RERAISE INTERPRETER_EXIT")
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
    value = frame.stack.pop()
    # From 3.13 on, TO_BOOL has asked before.
    if VERSION < (3, 13) and not frame.program.names[frame.index].endswith("NONE"):
        _operate(frame, value or EMPTY, *TRUTH_OF)
    frame.jump(argument)


@on("JUMP_IF_TRUE_OR_POP JUMP_IF_FALSE_OR_POP")
def _jump_or_pop(frame: Frame, argument: int) -> None:
    _operate(frame, frame.stack[-1] or EMPTY, *TRUTH_OF)
    frame.jump(argument)
    frame.stack.pop()


@on("BEFORE_WITH BEFORE_ASYNC_WITH")
def _before_with(frame: Frame, argument: int) -> None:
    context = frame.pop()
    frame.hold(context)
    marks = ("__aenter__", "__aexit__") if "ASYNC" in frame.program.names[frame.index] else ("__enter__", "__exit__")
    entered = frame.reader.call(frame.reader.attribute(context, marks[0], True), Given([]))
    frame.reader.call(frame.reader.attribute(context, marks[1], True), Given([EMPTY, EMPTY, EMPTY]))
    frame.push(EMPTY)
    frame.push(entered)


@on("MATCH_CLASS")
def _match_class(frame: Frame, argument: int) -> None:
    subject, classes, named = frame.pops(3)
    frame.ledger.look(subject, DEEP)
    names = _constant_of(named)
    found = [frame.reader.matched(subject, classes, argument, names if type(names) is tuple else ())]
    frame.push(frame.fresh(_union([frame.ledger.inside(subject), *found])))


@on("MATCH_KEYS")
def _match_keys(frame: Frame, argument: int) -> None:
    subject = frame.stack[-2] or EMPTY
    frame.ledger.look(subject, ALL)
    frame.push(frame.fresh(frame.ledger.inside(subject)))


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
                if made.closure not in ((), tuple(place.fields)):  # whoever has called it must do so again
                    frame.ledger.version += 1
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
    frame.push(frame.reader.call(callee, Given(positional, keywords)))


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
        frame.push(frame.reader.call(callee, Given(list(known.fields))))
        return
    spread |= frame.ledger.inside(frame.reader.iterate(positional))
    named = {name: item for place in keywords for name, item in orders_in(frame.ledger, place).items()}
    frame.push(frame.reader.call(callee, Given([], named, spread, not names_are_seen(keywords))))

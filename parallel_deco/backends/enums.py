"""Enumerations by value: each member is made as it is where it was defined; the user's `__init__` is not run for that.

cloudpickle makes them anew from their values, before the class has its methods: what `__init__` and `__new__` of the
user's set is missing then, members of the same value are not all there, and some classes cannot be made at all.
"""

import enum
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import BuiltinFunctionType, MemberDescriptorType, MethodDescriptorType, WrapperDescriptorType
from typing import Any

__all__ = ["make_enum", "plan_of", "set_states", "states_of"]

#: The metaclass; for each name whose member it is, what makes the data that is mixed in, and the value.
Plan = tuple[type, tuple[tuple[str, str, tuple[Any, ...], Any], ...]]
#: What every member has, or gets when it is made.
_GIVEN = frozenset(("_name_", "_value_", "__objclass__", "_sort_order_"))


def plan_of(kind: type[enum.Enum]) -> Plan:
    """Return how the members of an enumeration are made."""
    members = kind.__members__.items()
    made = [(name, member._name_, _data_of(kind, member), member._value_) for name, member in members]
    return type(kind), tuple(made)


def _data_of(kind: type[enum.Enum], member: enum.Enum) -> tuple[Any, ...]:
    """Return what the `__new__`, or `__init__`, of the data type wants: of an integer, the number."""
    data: Any = vars(kind)["_member_type_"]
    if data is object:
        return ()
    given = getattr(data, "__getnewargs__", None)
    if given is not None:
        return tuple(given(member))
    reduce = _first(data, "__reduce__")
    if type(reduce) is MethodDescriptorType and reduce is not vars(object)["__reduce__"]:
        return tuple(reduce(member)[1])
    return (member._value_,) if isinstance(member._value_, data) else ()


def _first(kind: type, name: str) -> Any:
    """Return what stands under a name in the first class that has it."""
    return next(vars(base)[name] for base in kind.__mro__ if name in vars(base))


def states_of(kind: type[enum.Enum]) -> dict[str, dict[str, Any]]:
    """Return what the members have beside their names and values."""
    states = {}
    for name, member in kind.__members__.items():
        own = {key: value for key, value in vars(member).items() if key not in _GIVEN}
        for slot, descriptor in _slots(kind):
            with suppress(AttributeError):  # it is empty
                own[slot] = descriptor.__get__(member)
        if own and member._name_ == name:
            states[name] = own
    return states


def _slots(kind: type) -> Iterator[tuple[str, MemberDescriptorType]]:
    for base in kind.__mro__:
        for name, slot in vars(base).items():
            if type(slot) is MemberDescriptorType:
                yield name, slot


def set_states(kind: type[enum.Enum], states: dict[str, dict[str, Any]]) -> None:
    """Give the members what they have where they come from."""
    slots = dict(_slots(kind))
    for name, own in states.items():
        member = kind.__members__[name]
        vars(member).update({key: value for key, value in own.items() if key not in slots})
        for key in own.keys() & slots.keys():
            with suppress(AttributeError, TypeError):  # it is read-only, and was made with the rest
                slots[key].__set__(member, own[key])


def make_enum(
    bases: tuple[type, ...],
    name: str,
    qualname: str,
    plan: Plan,
    module: str,
    number: str,
    boundary: enum.FlagBoundary | None,
) -> type[enum.Enum]:
    """Make an enumeration with its members, and without its methods.

    Parameters
    ----------
    bases : tuple of type
    name, qualname, module : str
    plan : tuple
        As `plan_of` has it.
    number
        Of no use here: it is where cloudpickle's own maker has it.
    boundary : enum.FlagBoundary or None
        Of flags.
    """
    maker: Any
    maker, members = plan
    body = maker.__prepare__(name, bases)
    kept = {member: (data, value) for member, own, data, value in members if member == own}

    def new(kind: Any, own: Any) -> Any:
        data, value = kept[own if type(own) is str else own[0]]  # tuples are unpacked, but for those that are tuples
        made = _made(kind, data)
        made._value_ = value
        return made

    body["__module__"], body["__qualname__"] = module, qualname
    if boundary is not None:  # flags are made of their values alone
        for member, _, _, value in members:
            body[member] = value
        flags: type[enum.Enum] = maker.__new__(maker, name, bases, body, boundary=boundary)
        return flags
    body["__new__"] = new
    body["__init__"] = _nothing
    for member, own, _, _ in members:
        body[member] = own
    kind: type[enum.Enum] = maker.__new__(maker, name, bases, body)
    for temporary in ("__init__", "__new_member__"):
        if temporary in vars(kind):
            type.__delattr__(kind, temporary)
    return kind


def _made(kind: Any, data: tuple[Any, ...]) -> Any:
    """Make a bare member, with the data that is mixed in."""
    data_type = kind._member_type_
    new: Callable[..., Any] = next(
        base.__new__ for base in data_type.__mro__ if type(vars(base).get("__new__")) is BuiltinFunctionType
    )
    if new is object.__new__:
        return new(kind)
    made = new(kind, *data)
    init = _first(data_type, "__init__")
    if type(init) is WrapperDescriptorType and init is not vars(object)["__init__"]:
        init(made, *data)
    return made


def _nothing(*_: Any) -> None:
    """Set nothing: that comes with the rest."""

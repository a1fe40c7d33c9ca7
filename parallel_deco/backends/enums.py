"""Enumerations by value: each member is made as it is where it was defined, and none of the user's code runs for that.

cloudpickle makes them anew from their values, before the class has its methods: what `__init__` and `__new__` of the
user's set is missing then, members of the same value are not all there, and some classes cannot be made at all.
"""

import enum
from typing import Any

__all__ = ["make_enum", "plan_of", "set_states", "states_of"]

#: For each name what makes the member's data, and its value; or, of another name for a member, that one's.
Plan = tuple[tuple[str, str, tuple[Any, ...], Any], ...]

#: What every member has, or gets when it is made.
_GIVEN = frozenset(("_name_", "_value_", "__objclass__", "_sort_order_"))


def plan_of(kind: type[enum.Enum]) -> Plan:
    """Return how the members of an enumeration are made."""
    return tuple(
        (name, member._name_, _data_of(kind, member), member._value_) for name, member in kind.__members__.items()
    )


def _data_of(kind: type[enum.Enum], member: enum.Enum) -> tuple[Any, ...]:
    """Return what the `__new__` of the data type wants: of an integer, the number."""
    data: Any = vars(kind)["_member_type_"]
    given = getattr(data, "__getnewargs__", None)
    return () if given is None else tuple(given(member))


def states_of(kind: type[enum.Enum]) -> dict[str, dict[str, Any]]:
    """Return what the members have beside their names and values."""
    states = {}
    for name, member in kind.__members__.items():
        own = {key: value for key, value in vars(member).items() if key not in _GIVEN}
        if own and member._name_ == name:
            states[name] = own
    return states


def set_states(kind: type[enum.Enum], states: dict[str, dict[str, Any]]) -> None:
    """Give the members what they have where they come from."""
    for name, own in states.items():
        vars(kind.__members__[name]).update(own)


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
    maker: Any = enum.EnumMeta
    for base in bases:
        if issubclass(type(base), maker):
            maker = type(base)
    body = maker.__prepare__(name, bases)
    kept = {member: (data, value) for member, own, data, value in plan if member == own}

    def new(kind: Any, own: Any) -> Any:
        data, value = kept[own if type(own) is str else own[0]]  # tuples are unpacked, but for those that are tuples
        data_type = kind._member_type_
        made = data_type.__new__(kind, *data) if data_type is not object else object.__new__(kind)
        made._value_ = value
        return made

    body["__module__"], body["__qualname__"] = module, qualname
    if boundary is not None:  # flags are made of their values alone
        for member, _, _, value in plan:
            body[member] = value
        flags: type[enum.Enum] = maker.__new__(maker, name, bases, body, boundary=boundary)
        return flags
    body["__new__"] = new
    body["__init__"] = _nothing
    for member, own, _, _ in plan:
        body[member] = own
    made: type[enum.Enum] = maker.__new__(maker, name, bases, body)
    for temporary in ("__init__", "__new_member__"):
        if temporary in vars(made):
            type.__delattr__(made, temporary)
    return made


def _nothing(*_: Any) -> None:
    """Set nothing: that comes with the rest."""

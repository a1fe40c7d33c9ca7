"""Named tuples as `typing.NamedTuple` makes them, without `typing`: that takes 4 ms of the 50 until a first result."""

from __future__ import annotations

from collections import namedtuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Generic", "NamedTuple"]


class _Maker(type):
    """Makes a named tuple of a class statement: fields, defaults, and methods."""

    def __new__(cls, name: str, bases: tuple[type, ...], members: dict[str, Any]) -> Any:
        if not bases:
            return super().__new__(cls, name, bases, members)
        fields = [*members.get("__annotations__", ())]
        defaults = [members[field] for field in fields if field in members]
        made: Any = namedtuple(name, fields, defaults=defaults, module=members["__module__"])
        for key, member in members.items():
            if key not in fields and key != "__classcell__":
                setattr(made, key, member)
        return made


class NamedTuple(metaclass=_Maker):
    """The base of a class statement that makes a named tuple; the class itself is none of its bases."""


class Generic:
    """A base of what has a type in brackets: of a named tuple, for one."""

    def __class_getitem__(cls, _: object) -> type:
        """Stand for the class."""
        return cls

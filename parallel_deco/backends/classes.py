"""Classes by value: each stays what it is where it was defined; a copy changes when, and as far as, that one did.

cloudpickle sends a whole class with each pickle that mentions it, and sets all its attributes each time it arrives. A
result would set those of the program's own class to a worker's copies, and each batch those of a worker's. Of a class
that came from the program a worker sends the number alone, with each value; what makes it anew goes once with all of
them, for a program that has let go of it meanwhile.
"""

import os
import sys
import weakref
from collections.abc import Callable
from contextlib import suppress
from types import GetSetDescriptorType, MemberDescriptorType, resolve_bases

from parallel_deco._nesting import in_worker_process
from parallel_deco.backends.main import main_name, publish
from parallel_deco.backends.places import Place, find_at, place_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["fill", "find", "find_or_make", "number_of", "reduce_class", "spare"]

#: What each attribute was when it was sent; another number stands for another value.
Digests = dict[str, int]

# By the number that cloudpickle gives to a class and its copies in all processes.
_by_number: "weakref.WeakValueDictionary[str, type]" = weakref.WeakValueDictionary()
#: Classes that were defined in this process, as far as they have been sent.
_own: "weakref.WeakSet[type]" = weakref.WeakSet()
#: Those that came from another, with the numbers of all.
_received: "weakref.WeakKeyDictionary[type, tuple[str, Digests]]" = weakref.WeakKeyDictionary()
#: What makes them anew, as far as it was asked for; empty where nothing does, or only too much would.
_spares: "weakref.WeakKeyDictionary[type, bytes]" = weakref.WeakKeyDictionary()
#: Among the attributes of an enumeration, what its members have.
STATES = "members of an enumeration"
#: Bytes of a spare at most: it goes with each report, and is hardly ever used (guessed).
MOST = 16 * 1024


def reduce_class(value: type, reduced: "tuple[Any, ...]", digest: "Callable[[Any], int]") -> "tuple[Any, ...]":
    """Return how to rebuild a class, from how cloudpickle would.

    Parameters
    ----------
    value : type
    reduced : tuple
        What cloudpickle's reducer returned for it.
    digest : callable
        Makes a number of an attribute.
    """
    make, arguments, (attributes, slots), _, _, fill_all = reduced
    number = arguments[-2]
    if "__slots__" in vars(value):
        members = _members(value)
        attributes = {name: attribute for name, attribute in attributes.items() if name not in members}
        # Not to be said of an enumeration, which has a maker of its own, nor of a `typing.NamedTuple`, which has it.
        made_plainly = members or not issubclass(value, tuple) or arguments[2] == value.__bases__
        if isinstance(arguments[0], type) and made_plainly:
            arguments = (*arguments[:3], {**arguments[3], "__slots__": members}, *arguments[4:])
    if value.__qualname__ != value.__name__:
        attributes = {**attributes, "__qualname__": value.__qualname__}
    if value not in _received:
        _own.add(value)
        _by_number[number] = value
    enumerations = sys.modules.get("enum")
    if enumerations is not None and issubclass(value, enumerations.Enum):
        from parallel_deco.backends.enums import make_enum, plan_of, states_of

        plan = plan_of(value)
        boundary = getattr(value, "_boundary_", None) if issubclass(value, enumerations.Flag) else None
        make, arguments = make_enum, (*arguments[:3], plan, *arguments[4:-1], boundary)
        named = {name for name, *_ in plan[1]}
        attributes = {name: attribute for name, attribute in attributes.items() if name not in named}
        attributes[STATES] = states_of(value)
    else:
        make, arguments = make_quietly, (make, *arguments)
    digests = {name: digest(attribute) for name, attribute in attributes.items()}
    state = attributes, slots, digests, number, os.getpid(), main_name(value), fill_all
    return find_or_make, (number, place_of(value), make, arguments), state, None, None, fill


def _members(value: type) -> tuple[str, ...]:
    """Return the slots that a class has added, which cloudpickle makes attributes of; by the names that they have."""
    own = vars(value)
    extra = [name for name in ("__dict__", "__weakref__") if isinstance(own.get(name), GetSetDescriptorType)]
    return (*(name for name, slot in own.items() if isinstance(slot, MemberDescriptorType)), *extra)


def find_or_make(number: str, place: Place | None, make: "Callable[..., type]", arguments: "tuple[Any, ...]") -> type:
    """Return the class of that number, or the one at its place here; else it is made, and `fill` completes it."""
    found = _by_number.get(number)
    if found is not None:
        return found
    found = None if place is None else find_at(place)
    if found is not None:
        _own.add(found)  # it is complete
    return _by_number.setdefault(number, make(*arguments) if found is None else found)


def make_quietly(
    make: "Callable[..., type]", meta: type, name: str, bases: "tuple[Any, ...]", *arguments: "Any"
) -> type:
    """Make a class as cloudpickle does, but in a worker without what the user's own classes would do for the case.

    That has been done where the class was defined, and the registers of a base or metaclass, which came from there,
    tell of it already. What is imported here has registers of its own.
    """
    if not in_worker_process():  # the program's own threads define classes meanwhile
        return make(meta, name, bases, *arguments)
    ours = {id(known) for known in [*_by_number.values()]}
    real = resolve_bases(bases)  # of ``Base[int]``, the class
    metas = [each for kind in (meta, *map(type, real)) for each in kind.__mro__]
    hooks = [
        (kind, hook, vars(kind)[hook])
        for kind, hook in {
            *((base, "__init_subclass__") for direct in real for base in direct.__mro__),
            *((each, hook) for each in metas for hook in ("__prepare__", "__new__", "__init__")),
        }
        if id(kind) in ours and hook in vars(kind)
    ]
    try:
        for kind, hook, _ in hooks:
            type.__delattr__(kind, hook)
        return make(meta, name, bases, *arguments)
    finally:
        for kind, hook, own in hooks:
            type.__setattr__(kind, hook, own)


def fill(value: type, state: "tuple[Any, ...]") -> None:
    """Give a class those of the attributes that have changed where it comes from.

    The program has no use for what workers make of a class of theirs later: each may make something else of it.
    """
    attributes, slots, digests, number, sender, main, fill_all = state
    known = _received.get(value)
    if value in _own or sender == os.getpid() or (known is not None and not in_worker_process()):
        return
    before = {} if known is None else known[1]
    changed = {name: attribute for name, attribute in attributes.items() if digests[name] != before.get(name)}
    states = changed.pop(STATES, None)
    fill_all(value, (changed, slots))
    if states is not None:
        from parallel_deco.backends.enums import set_states

        set_states(value, states)
    for name in before.keys() - digests.keys():
        with suppress(AttributeError):  # the worker has taken it away itself
            delattr(value, name)
    _received[value] = number, digests
    _spares.pop(value, None)
    if main is not None:
        publish(value, main)


def number_of(value: type) -> str | None:
    """Return the number of a class that came from another process; None of another."""
    known = _received.get(value)
    return None if known is None else known[0]


def find(number: str) -> type:
    """Return the class of that number.

    Raises
    ------
    LookupError
        It is not here any more.
    """
    found = _by_number.get(number)
    if found is None:
        raise LookupError("the program has let go of its class")
    return found


def spare(value: type, dump: "Callable[[type], bytes]") -> bytes:
    """Return what makes a class that came from another process anew; nothing where it cannot travel, or is large.

    Parameters
    ----------
    value : type
    dump : callable
        Pickles it whole.
    """
    found = _spares.get(value)
    if found is None:
        try:
            found = dump(value)
        except Exception:  # of what a task has put into it
            found = b""
        _spares[value] = found = found if len(found) <= MOST else b""
    return found

"""Where a value may have come from: the abstract values of the reading of effects.

A `Value` is a set of places that an object may be: the empty set is an immutable or a fresh object that holds
nothing of the outside. An `Outside` existed before the call and will be seen after it; all the others were made
during the call, so changing them is nobody's business.
"""

from __future__ import annotations

import collections
import enum
import functools
import itertools
import operator
import sys
import types
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final, NamedTuple, TypeAlias

from parallel_deco.routing.known import SCALAR_ATTRIBUTES, Species, species
from parallel_deco.routing.lookup import (
    MISSING,
    attribute,
    class_attribute,
    home,
    instance_namespace,
    is_a,
    is_any,
    is_fixed_class,
    loaded,
    mro,
    namespace,
    type_name,
)
from parallel_deco.routing.tables import (
    can_be_looked_into,
    cells,
    columns,
    gives_parts,
    holds_objects,
    is_column,
    is_table,
    shared_cells,
)

__all__ = [
    "EMPTY",
    "NO_ARGUMENTS",
    "OTHER",
    "TRUTH",
    "Bound",
    "Cell",
    "Const",
    "Examples",
    "Given",
    "Made",
    "Method",
    "Orders",
    "Origin",
    "Outside",
    "Site",
    "Super",
    "Value",
    "are_dicts",
    "describe",
    "example",
    "follow",
    "follow_in_tables",
    "follow_some",
    "gives_view",
    "identity",
    "is_container",
    "is_scalar",
    "joined",
    "number_anew",
    "signature",
    "unsure",
]


class Origin(enum.Enum):
    """How a function got hold of something that it did not make."""

    ARGUMENT = "the argument"
    GLOBAL = "the global"
    CAPTURED = "the captured"
    DEFAULT = "the default of"
    IMPORTED = "the module"
    NOWHERE = "something unknown in"


# Examples stand for all objects that a place may hold: one of each type that occurs, and of those that are not
# immutable as many as are looked into, for one list may be empty and the next not. `None`: nobody knows.
Examples: TypeAlias = "tuple[object, ...] | None"
_TYPES_MAX: Final = 8
_FUNCTIONS_MAX: Final = 64  # and classes, which are told apart: each is read
_LOOKED_INTO: Final = 16  # of more, so many are, spread evenly
_ENDS_LOOKED_AT: Final = 32  # of a long container that was looked through before
_REACHED_MAX: Final = 500  # objects that are looked for however deep
_RECIPES_MAX: Final = 256
_ELEMENTS_MAX: Final = 100_000  # a longer container is not looked through: its elements are unknown


class _Numbered:
    """A place that sets keep by its number, not by where it lies in memory: each reading takes the same steps."""

    __slots__ = ("number",)
    number: int

    def __hash__(self) -> int:
        return self.number


_numbers = itertools.count()
_FIRST: Final = 1 << 10  # after the numbers of those that all readings share


def number_anew() -> None:
    """Begin the numbers of a reading; should another be under way, both are right, but may take other steps."""
    global _numbers
    _numbers = itertools.count(_FIRST)


class Outside(_Numbered):
    """A place outside of the call: a root (an argument, a global) or something reached from one."""

    __slots__ = ("examples", "name", "origin", "parent", "path", "step")

    def __init__(
        self,
        origin: Origin,
        name: str,
        examples: Examples,
        parent: Outside | None = None,
        step: str = "",
    ) -> None:
        self.number = next(_numbers)
        self.origin = origin
        self.name = name
        self.examples = examples
        self.parent = parent
        self.step = step  # ".name", "[]" an element, "[:]" a slice, "[*]" an element of a shallow copy, "…" deeper
        self.path: tuple[str, ...] = () if parent is None else (*parent.path, step)

    def __repr__(self) -> str:
        return f"<{describe(self)}>"


class Site(_Numbered):
    """All objects made at one place of the code during the call; `contents` is what was put into them."""

    __slots__ = (
        *("attributes", "bases", "cls", "contents", "fields", "kept", "listed", "made_by", "members", "mutable"),
        *("named", "opaque", "orders", "plain", "prefix", "read"),
    )

    def __init__(self) -> None:
        self.number = next(_numbers)
        self.contents: set[Place] = set()
        self.attributes: dict[str, Value] = {}
        self.opaque = False  # what it keeps under which attribute nobody knows: any may give any of the contents
        self.fields: list[Value] | None = None  # the items of a tuple display
        self.prefix = ""  # of a text: what it begins with
        self.orders: dict[str, Value] | None = None  # the items of a dict under names that ask functions to write
        self.named: bool | None = None  # whether all names are seen under which a dict has its items
        self.cls: type | None = None  # the class, where it is known
        self.members: dict[str, Value] | None = None  # of a class made during the call
        self.bases: Value = EMPTY  # of such a class
        self.made_by: Site | None = None  # such a class, of which it is an instance; `cls` is a base then
        self.listed = False  # a list display
        self.plain = False  # an array that holds no objects: what is stored into it is copied
        self.mutable = False  # surely containers or the like: `+=` changes them
        self.kept = ""  # the name of the cache that will give them again
        self.read = False  # somebody has used the contents: growing means reading again


class Cell(_Numbered):
    """A variable shared by a function under way and the functions made in it; `value` is what these may find."""

    __slots__ = ("read", "since", "value", "written")

    def __init__(self) -> None:
        self.number = next(_numbers)
        self.value: Value = EMPTY
        self.written: Value = EMPTY  # by inner functions
        self.since = sys.maxsize  # the first instruction at which there may be a function that sees it
        self.read = False  # one has: growing means reading again


class Made(_Numbered):
    """A function made during the call."""

    __slots__ = ("closure", "code", "defaults", "keyword_defaults", "module")

    def __init__(self, code: types.CodeType, module: dict[str, object]) -> None:
        self.number = next(_numbers)
        self.code = code
        self.module = module
        self.defaults: Value = EMPTY
        self.keyword_defaults: Value = EMPTY
        self.closure: tuple[Value, ...] = ()


class Const(_Numbered):
    """A constant whose value matters: a string, a truth value, a code object, a tuple of names."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.number = next(_numbers)
        self.value = value


class Method(_Numbered):
    """An attribute of something made during the call, most likely about to be called."""

    __slots__ = ("name", "owner")

    def __init__(self, owner: Place, name: str) -> None:
        self.number = next(_numbers)
        self.owner = owner
        self.name = name


class Bound(_Numbered):
    """A function that exists outside, bound to a receiver."""

    __slots__ = ("function", "receiver")

    def __init__(self, function: object, receiver: Value) -> None:
        self.number = next(_numbers)
        self.function = function
        self.receiver = receiver


class Super(_Numbered):
    """What ``super()`` gave: the receiver, and the class after which the search begins."""

    __slots__ = ("after", "receiver")

    def __init__(self, after: type, receiver: Value) -> None:
        self.number = next(_numbers)
        self.after = after
        self.receiver = receiver


class Given(NamedTuple):
    """What a callable is called with; `spread` is what ``*args`` and ``**kwargs`` hold, for any parameter."""

    positional: list[Value]
    keywords: dict[str, Value] = {}  # noqa: RUF012 - never changed
    spread: Value | None = None
    unnamed: bool = False  # some of `spread` may be keywords whose names are not seen

    def first(self) -> Value:
        """Return the first argument."""
        return self.positional[0] if self.positional else self.spread or EMPTY

    def all(self) -> Value:
        """Return all that an argument may be."""
        return EMPTY.union(*self.positional, *self.keywords.values(), self.spread or EMPTY)

    def after(self, receiver: Value) -> Given:
        """Return the same with a receiver before it."""
        return Given([receiver, *self.positional], self.keywords, self.spread, self.unnamed)


Place: TypeAlias = Outside | Site | Cell | Made | Const | Method | Bound | Super
Value: TypeAlias = frozenset[Place]
EMPTY: Final[Value] = frozenset()
NO_ARGUMENTS: Final = Given([])


class Special(enum.Enum):
    """What stands in a `Const` beside constants of the code."""

    TRUTH = "a comparison's result: a truth value, or an array of them, which as an index of an array gives a copy"
    OTHER = "another value than the constants beside it"


TRUTH: Final[Value] = frozenset((Const(Special.TRUTH),))
OTHER: Final[Value] = frozenset((Const(Special.OTHER),))


def unsure(value: Value) -> Value:
    """Return `value`, where it is going to be mixed with values that leave no trace: its constants are not all."""
    return value | OTHER if any(type(place) is Const for place in value) else value


def joined(old: Value, new: Value) -> Value:
    """Return what may be either; an empty value leaves its trace beside constants, which it is none of."""
    return old | new if old and new else unsure(old or new)


def describe(place: Outside) -> str:
    """Return words for a place: ``the global 'log'``, ``'self.items' of the argument 'self'``."""
    root = f"{place.origin.value} {place.name!r}"
    attributes = [step for step in place.path if step[0] == "."]
    if not place.path:
        return root
    if len(attributes) == len(place.path):
        return (
            f"'{place.name}{''.join(attributes)}' of {root}"
            if place.origin is Origin.ARGUMENT
            else (f"{place.origin.value} '{place.name}{''.join(attributes)}'")
        )
    return f"a part of {root}"


# --- examples --------------------------------------------------------------------------------------------------

_BY_IDENTITY: Final = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.ModuleType,
    type,
    functools.partial,
    staticmethod,
    classmethod,
)
_SEQUENCES: Final = (list, tuple, set, frozenset, collections.deque)
_CONTAINERS: Final = (*_SEQUENCES, dict)
_CONTAINER_TYPES: Final = frozenset(map(id, (*_CONTAINERS, bytearray)))
_USUAL_KEYS: Final = frozenset(map(id, (str, int, float, bool, bytes)))
#: Attributes and results of methods of an array that are views of it.
_VIEWS: Final = frozenset(
    (
        *("T", "mT", "real", "imag", "flat", "ravel()", "reshape()", "squeeze()", "transpose()", "swapaxes()"),
        *("diagonal()", "view()"),
    )
)


class Orders(dict[str, object]):
    """Keyword arguments of which some ask functions to write: a type of its own, as answers go by types."""


_DICTS: Final = (dict, Orders, collections.OrderedDict, collections.defaultdict, collections.Counter)


def example(thing: object) -> Examples:
    """Return the examples of a place that holds exactly `thing`."""
    return None if thing is MISSING else (thing,)


def signature(examples: Examples) -> frozenset[int] | None:
    """Return what the reading relied on: the types, and of functions and modules the objects themselves.

    Identities stand for both; whoever keeps a signature keeps the examples alive with it.
    """
    if examples is None:
        return None
    return frozenset([id(identity(thing)) for thing in examples])


def identity(thing: object) -> object:
    """Return what of `thing` a reading relies on: a function or module itself, of others the type."""
    return thing if is_any(thing, _BY_IDENTITY) else type(thing)


def is_scalar(examples: Examples) -> bool:
    """Say whether all examples are immutable through and through."""
    return examples is not None and all(species(type(thing))[0] is Species.SCALAR for thing in examples)


def follow(examples: Examples, step: str) -> Examples:
    """Return examples of what is found one step inside the examples."""
    if examples is None:
        return None
    found: list[object] = []
    several = step[0] == "." and len(examples) > 1
    try:
        if step == "…":
            return _sample(_reachable(examples), _FUNCTIONS_MAX)
        for thing in examples:
            if several and _lacks(thing, step[1:]):  # asked for it, it would raise: it is another that has it
                continue
            inner = _inside(thing, step)
            if inner is None:
                return None
            found += inner
    except RuntimeError:  # changed by another thread meanwhile
        return None
    return _sample(found) if found or not several else None


def _reachable(examples: tuple[object, ...]) -> list[object]:
    """Return what is inside, however deep, of containers and of the instances of the user's classes.

    Of what is immutable, one of each type; of very much, what comes first. Half a microsecond for each object.
    """
    found: list[object] = []
    seen: set[int] = set()
    constants: set[int] = set()
    left = collections.deque(examples)
    while left and len(seen) < _REACHED_MAX:
        thing = left.popleft()
        cls = type(thing)
        recipe = _recipes.get(id(cls)) or _recipe(cls)
        if recipe.constant:
            if id(cls) not in constants:
                constants.add(id(cls))
                found.append(thing)
            continue
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        found.append(thing)
        if recipe.contains:
            left += _elements(thing) or ()
        if recipe.names is not None:
            left += recipe.names(thing).values()
        for slot in recipe.slots:
            with suppress(AttributeError):  # it is empty
                left.append(slot.__get__(thing))
    return found


class _Recipe(NamedTuple):
    """How instances of a class are looked into."""

    cls: type
    constant: bool  # nothing inside changes, or it is told by its identity
    contains: bool
    names: Callable[[object], dict[str, object]] | None
    slots: tuple[types.MemberDescriptorType, ...]


#: By the identity of the class, which they keep.
_recipes: dict[int, _Recipe] = {}


def _recipe(cls: type) -> _Recipe:
    kind = species(cls)[0]
    constant = kind is Species.SCALAR or issubclass(cls, _BY_IDENTITY)
    slots = [
        slot
        for base in mro(cls)
        if not is_fixed_class(base)
        for slot in namespace(base).values()
        if type(slot) is types.MemberDescriptorType
    ]
    getter: Any = class_attribute(cls, "__dict__")
    names = getter.__get__ if type(getter) is types.GetSetDescriptorType and kind is Species.PLAIN else None
    if len(_recipes) >= _RECIPES_MAX:
        _recipes.clear()
    made = _recipes[id(cls)] = _Recipe(cls, constant, issubclass(cls, _CONTAINERS), names, tuple(slots))
    return made


def _lacks(thing: object, name: str) -> bool:
    """Say whether an object has no such attribute, and nothing that would make one up."""
    if name == "__dict__" or name[-1:] == "*" or is_any(thing, _BY_IDENTITY):
        return False
    cls = type(thing)
    made_up = class_attribute(cls, "__getattr__") is not MISSING
    usual = type(class_attribute(cls, "__getattribute__")) is types.WrapperDescriptorType
    return usual and not made_up and attribute(thing, name) is MISSING


def follow_some(examples: Examples, step: str) -> Examples:
    """Return the same from the ends of long containers: what was added lately is there, and to look costs little."""
    if step in ("[]", "[*]") and examples is not None:
        examples = tuple(map(_shortened, examples))
    return follow_in_tables(examples, step)


def follow_in_tables(examples: Examples, step: str) -> Examples:
    """Return the same, also of tables: not of arguments, for it takes as long as a short call may."""
    if step in ("[]", "[*]") and examples is not None and any(map(can_be_looked_into, examples)):
        look_into = columns if step == "[]" else shared_cells
        examples = tuple([look_into(thing) if can_be_looked_into(thing) else thing for thing in examples])
    return follow(examples, step)


def _shortened(thing: object) -> object:
    cls = type(thing)
    try:
        if cls in _DICTS and dict.__len__(thing) > 2 * _ENDS_LOOKED_AT:  # type: ignore[arg-type]
            return list(_of_dict(_ends(dict.keys(thing)), _ends(dict.values(thing))))  # type: ignore[arg-type]
        if cls in _SEQUENCES and len(thing) > 2 * _ENDS_LOOKED_AT:  # type: ignore[arg-type]
            return _ends(thing)
    except RuntimeError:  # changed by another thread meanwhile
        pass
    return thing


def _ends(things: Any) -> list[object]:
    backwards = () if type(things) in (set, frozenset) else reversed(things)
    return [*itertools.islice(things, _ENDS_LOOKED_AT), *itertools.islice(backwards, _ENDS_LOOKED_AT)]


def _inside(thing: object, step: str) -> Iterable[object] | None:
    """Return all that is found one step inside `thing`; None where nobody knows."""
    cls = type(thing)
    if (cls is dict or cls is list or cls is tuple) and (step == "[]" or step == "[*]"):  # the usual case, quickly
        return _elements(thing)
    kind = species(cls)[0]
    if kind is Species.SCALAR:
        return (0,)
    if step[0] == ".":
        return _member(thing, step[1:], kind)
    if step == "[*]" and kind is Species.NATIVE and not is_any(thing, _CONTAINERS) and not _holds_objects(thing):
        return (0,)  # arrays and frames: their copies are deep
    if step in ("[]", "[*]"):
        return _elements(thing)
    if step == "[:]":
        return (thing,)
    if step == "[keys]":
        few = cls in _DICTS and dict.__len__(thing) <= _ELEMENTS_MAX  # type: ignore[arg-type]
        return (list(dict.keys(thing)),) if few else None  # type: ignore[arg-type]
    return None


def _member(thing: object, name: str, kind: Species) -> Examples:
    if kind is Species.NATIVE and name in SCALAR_ATTRIBUTES:
        return (0,)
    if kind is Species.NATIVE and type_name(type(thing)) == "numpy.ndarray" and name in _VIEWS:
        return _view(thing, name)
    if gives_parts(name) and (is_table(thing) or is_column(thing)):
        return (thing,)
    if name == "__dict__" or name[-1:] == "*":
        return _members(thing, name)
    found = attribute(thing, name)
    if found is MISSING and is_a(thing, types.ModuleType):
        found = loaded(f"{home(thing)}.{name}")  # a lazy attribute that stands for a submodule
    if found is MISSING:
        return None
    if is_any(thing, (types.ModuleType, type)):
        return (found,)
    if class_attribute(type(found), "__get__") is not MISSING:
        # A function in the namespace of the instance itself is data; on the class it is a method.
        return (found,) if class_attribute(type(thing), name) is MISSING else None
    return (found,)


def _view(array: object, name: str) -> Examples:
    """Return an example of a view of an array, which has as many dimensions, or more; its elements are the same."""
    if name != "reshape()" or array.ndim > 1:  # type: ignore[attr-defined]
        return (array,)
    return (array[None],)  # type: ignore[index]  # a plain array: nobody's code is run


def is_container(thing: object) -> bool:
    """Say whether `thing` is of the containers that are looked into."""
    return is_any(thing, _CONTAINERS)


def gives_view(method: str) -> bool:
    """Say whether a method of arrays gives a view, and so does not look at what is in them."""
    return f"{method}()" in _VIEWS


def are_dicts(examples: Examples) -> bool:
    """Say whether all examples are dicts of the standard library's, which iterate over their keys."""
    return examples is not None and all(type(thing) in _DICTS for thing in examples)


def _members(thing: object, name: str) -> Examples:
    """Return the namespace of `thing`, or all in it whose names begin so; not what stands on its class."""
    own = instance_namespace(thing)
    if own is None or name == "__dict__":
        return None if own is None else (own,)
    return tuple([found for key, found in list(own.items()) if type(key) is str and key.startswith(name[:-1])]) or None


def _elements(thing: object) -> Iterable[object] | None:
    cls = type(thing)
    if cls is not dict and is_any(thing, _BY_IDENTITY):
        return ()
    if cls in _SEQUENCES or (is_any(thing, (list, tuple)) and _iterates_plainly(cls)):
        return thing if len(thing) <= _ELEMENTS_MAX else None  # type: ignore[arg-type, return-value]
    if cls in _DICTS:
        if dict.__len__(thing) > _ELEMENTS_MAX:  # type: ignore[arg-type]
            return None
        return _of_dict(dict.keys(thing), dict.values(thing))  # type: ignore[arg-type]
    if type_name(cls) == "numpy.ndarray":  # elements of one dimension are scalars; of more, and fields, are views
        if thing.dtype.kind == "O":  # type: ignore[attr-defined]
            return (thing, *thing.flat) if thing.size <= _ELEMENTS_MAX else None  # type: ignore[attr-defined]
        return (0,) if thing.ndim <= 1 and thing.dtype.kind != "V" else (thing,)  # type: ignore[attr-defined]
    if cls is bytearray or type_name(cls) == "array.array":
        return (0,)
    return cells(thing) if is_column(thing) else None


def _of_dict(keys: Iterable[object], values: Iterable[object]) -> Iterable[object]:
    plain = _USUAL_KEYS.issuperset(map(id, map(type, keys))) or is_scalar(_sample(list(keys)))
    return values if plain else (*keys, *values)


def _holds_objects(thing: object) -> bool:
    """Say whether `thing` is an array or a column of objects, which its copy shares."""
    if type_name(type(thing)) == "numpy.ndarray":
        return bool(thing.dtype.hasobject)  # type: ignore[attr-defined]
    return is_column(thing) and holds_objects(thing)


def _iterates_plainly(cls: type) -> bool:
    base = list if issubclass(cls, list) else tuple
    return all(class_attribute(cls, name) is base.__dict__[name] for name in ("__iter__", "__getitem__", "__len__"))


def _sample(things: list[object], most: int = _TYPES_MAX) -> Examples:
    """Return the examples that stand for all `things`; None where these are of too many types."""
    kinds = _kinds(things)
    if len(kinds) > most:
        return None
    by_type: dict[int, object] = {}
    for thing in things:
        by_type.setdefault(id(type(thing)), thing)
        if len(by_type) == len(kinds):
            break
    if any(is_any(thing, _BY_IDENTITY) for thing in by_type.values()):
        functions = {id(thing): thing for thing in things}
        return tuple(functions.values()) if len(functions) <= _FUNCTIONS_MAX else None
    mutable = {kind for kind, thing in by_type.items() if species(type(thing))[0] is not Species.SCALAR}
    if len(kinds) == len(things) or not mutable:
        return tuple(by_type.values())
    several = _spread(things)
    if len(things) > _LOOKED_INTO and _CONTAINER_TYPES.issuperset(kinds) and not all(several):
        several = _spread([thing for thing in things if thing] or things)  # nothing is seen in those that are empty
    several = [thing for thing in several if id(type(thing)) in mutable]
    return tuple({id(thing): thing for thing in (*by_type.values(), *several)}.values())


def _kinds(things: list[object]) -> set[int]:
    """Return the identities of all types that occur."""
    if things and all(map(operator.is_, map(type, things), itertools.repeat(type(things[0])))):  # the usual case
        return {id(type(things[0]))}
    return set(map(id, map(type, things)))


def _spread(things: list[object]) -> list[object]:
    """Return the last of `things` and so many others, evenly spread."""
    return [things[-1], *things[:: -(-len(things) // _LOOKED_INTO)]]

"""Finds what a call of a function would change outside of itself, without running anything."""

from __future__ import annotations

import types
import weakref
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple, TypeAlias

from parallel_deco.routing.calls import Calls
from parallel_deco.routing.known import asks_to_write, is_library, own_function
from parallel_deco.routing.ledger import Effect, Exhausted, Ledger
from parallel_deco.routing.lookup import (
    MISSING,
    attribute,
    builtins_of,
    class_attribute,
    home,
    instance_namespace,
    is_a,
    is_any,
    is_ours,
    loaded,
    unwrap_partial,
)
from parallel_deco.routing.orders import add_items
from parallel_deco.routing.values import (
    EMPTY,
    Examples,
    Given,
    Orders,
    Origin,
    Outside,
    Place,
    Value,
    follow,
    follow_some,
    identity,
    signature,
)

__all__ = ["Findings", "Guard", "Subject", "find_effects", "subject_of", "unwrapped"]


class Guard(NamedTuple):
    """The types of one argument, or of a part of one, for which an answer holds."""

    name: str
    path: tuple[str, ...]
    expected: frozenset[int] | None
    kept: tuple[object, ...]  # references to what the identities in `expected` stand for: weak, it is the user's

    def holds(self, arguments: Mapping[str, object], followed: dict[tuple[object, ...], Examples]) -> bool:
        """Say whether `arguments` are of those types; `followed` has what was found in them before."""
        found = signature(self._examples(arguments, followed))
        if found is None or self.expected is None:
            return found is self.expected
        return found <= self.expected and not any(_is_gone(reference) for reference in self.kept)

    def _examples(self, arguments: Mapping[str, object], followed: dict[tuple[object, ...], Examples]) -> Examples:
        examples: Examples = (arguments[self.name],) if self.name in arguments else None
        for depth, step in enumerate(self.path, 1):
            where = (self.name, *self.path[:depth])
            if where not in followed:
                followed[where] = follow(examples, step)
            examples = followed[where]
        return examples


class OfClass:
    """Says that what was read stands on a class; which is not kept."""

    __slots__ = ("_cls",)

    def __init__(self, cls: type) -> None:
        self._cls = weakref.ref(cls)

    def held(self, name: str) -> object:
        """Return what the class has under a name now."""
        cls = self._cls()
        return MISSING if cls is None else class_attribute(cls, name)


class Part(NamedTuple):
    """What was found inside of a global or cell, or of what stands on a class."""

    where: str | OfClass  # module or cell
    name: str
    path: tuple[str, ...]
    expected: tuple[object, ...]  # references to what it held

    def holds(self, function: object, followed: dict[tuple[object, ...], Examples]) -> bool:
        """Say whether there is still nothing of another kind; `followed` has what was found for other parts."""
        examples: Examples = (_held(function, self.where, self.name),)
        for depth, step in enumerate(self.path, 1):
            where = (self.where, self.name, *self.path[:depth])
            if where not in followed:
                followed[where] = follow_some(examples, step)
            examples = followed[where]
        found = signature(examples)
        return found is not None and found <= {id(_referent(kept)) for kept in self.expected}


#: Where it is found (in a module, cell or class), its name there, and a reference to what it was.
Relied: TypeAlias = "tuple[str | OfClass, str, object]"


class Findings(NamedTuple):
    """What was found, and what the finding relied on."""

    effects: tuple[Effect, ...]
    depends: bool  # on the types of the arguments
    hands_over: bool  # arguments to a library, which uses up streams and iterators
    guards: tuple[Guard, ...]  # of what is shallow first, which is quickly found to be another
    relied: tuple[Relied, ...]
    parts: tuple[Part, ...]

    def stands(self, function: object) -> bool:
        """Say whether the globals and closures that were read still hold what they held."""
        held = all(_reference_holds(_held(function, where, name), kept) for where, name, kept in self.relied)
        followed: dict[tuple[object, ...], Examples] = {}
        return held and all(part.holds(function, followed) for part in self.parts)


class Subject(NamedTuple):
    """A callable, taken apart: the function in Python inside, if there is one, and what is bound to it."""

    function: object
    arguments: tuple[object, ...]
    keywords: dict[str, object]

    def names(self) -> tuple[str, ...]:
        """Return the names of the positional parameters that are left to the caller."""
        code = self.code()
        return code.co_varnames[len(self.arguments) : code.co_argcount] if code is not None else ()

    def code(self) -> types.CodeType | None:
        """Return the code, if it is a function in Python."""
        return self.function.__code__ if is_a(self.function, types.FunctionType) else None

    def bind(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> dict[str, object]:
        """Return the objects that a call would give to the parameters, by name."""
        code, function = self.code(), self.function
        if code is None or not is_a(function, types.FunctionType):
            return {"arguments": [*args, *kwargs.values()]}
        names = self.names()
        bound = dict(zip(names, args, strict=False))
        defaults = function.__defaults__ or ()
        all_names = code.co_varnames[: code.co_argcount]
        for name, value in zip(all_names[len(all_names) - len(defaults) :], defaults, strict=True):
            bound.setdefault(name, value)
        bound.update({**(function.__kwdefaults__ or {}), **kwargs})
        index = code.co_argcount + code.co_kwonlyargcount
        known = code.co_varnames[:index]
        if code.co_flags & 4:
            bound[code.co_varnames[index]] = tuple(args[len(names) :])
            index += 1
        if code.co_flags & 8:
            left = {name: kwargs[name] for name in kwargs if name not in known}
            bound[code.co_varnames[index]] = Orders(left) if any(map(asks_to_write, left)) else left
        return bound


def unwrapped(function: object) -> object:
    """Return the function inside the wrappers of this package."""
    for _ in range(16):
        if not is_ours(function):
            break
        inner = attribute(function, "__wrapped__")
        if inner is MISSING:
            break
        function = inner
    return function


def subject_of(function: object) -> Subject:
    """Take a callable apart: wrappers of this package, partial objects, bound methods, callable objects."""
    function, arguments, keywords = unwrap_partial(unwrapped(function))
    function = unwrapped(function)
    if is_any(function, (staticmethod, classmethod)):
        function = function.__func__  # type: ignore[attr-defined]
    if is_a(function, types.MethodType):
        arguments = (function.__self__, *arguments)
        function = function.__func__
    elif not is_any(function, (types.FunctionType, types.BuiltinFunctionType, type)):
        method = class_attribute(type(function), "__call__")
        if is_a(method, types.FunctionType) and own_function(method):
            arguments = (function, *arguments)
            function = method
    return Subject(function, arguments, keywords)


def find_effects(subject: Subject, given: Mapping[str, object] | None = None) -> Findings:
    """Read the code of `subject`; with `given` arguments, for arguments of such types."""
    ledger = Ledger()
    calls = Calls(ledger)
    try:
        _start(subject, given, ledger, calls)
    except Exhausted:
        ledger.give_up("is too long or too tangled to be read to the end", subject.code())
    relied, parts = _relied(ledger, subject.function)
    findings = Findings(ledger.effects, ledger.depends, ledger.hands_over, _guards(ledger, given), relied, parts)
    calls.forget()  # the arguments must not wait for the garbage collector
    ledger.forget()
    return findings


def _start(subject: Subject, given: Mapping[str, object] | None, ledger: Ledger, calls: Calls) -> None:
    function = subject.function
    bound = [ledger.keeper(Origin.CAPTURED, f"argument {i}", x) for i, x in enumerate(subject.arguments)]
    if (code := subject.code()) is not None:
        bound = [
            ledger.keeper(Origin.CAPTURED, name, x)
            for name, x in zip(code.co_varnames, subject.arguments, strict=False)
        ]
    named = {name: ledger.keeper(Origin.CAPTURED, name, x) for name, x in subject.keywords.items()}
    for value in (*bound, *named.values()):
        ledger.notice(value)
    if not is_a(function, types.FunctionType):
        everything = ledger.inside(_argument(ledger, "arguments", given))
        calls.call_object(function, ledger.keeper(Origin.GLOBAL, "function", function), Given(bound, named, everything))
        return
    code = function.__code__
    names = code.co_varnames
    for name in names[len(bound) : code.co_argcount]:
        bound.append(named.pop(name) if name in named else _argument(ledger, name, given))
    if not own_function(function):
        calls.call_object(function, EMPTY, Given(bound, named))
        return
    del bound[code.co_argcount :]
    index = code.co_argcount + code.co_kwonlyargcount
    for name in names[code.co_argcount : index]:
        bound.append(named.pop(name) if name in named else _argument(ledger, name, given))
    for flag in (4, 8):
        if code.co_flags & flag:
            site = ledger.site((code, flag))
            argument = _argument(ledger, names[index], given)
            ledger.put(site, ledger.inside(argument))
            site.named = flag == 8 and all(_holds_no_orders(ledger, place) for place in argument)
            if flag == 8:
                ledger.put(site, EMPTY.union(*named.values()))
                add_items(ledger, frozenset((site,)), Given([], named))
            bound.append(frozenset((site,)))
            index += 1
    free = tuple(
        ledger.captured(cell, name) for cell, name in zip(function.__closure__ or (), code.co_freevars, strict=False)
    )
    calls.walk(code, function.__globals__, builtins_of(function), free, bound)


def _holds_no_orders(ledger: Ledger, place: Place) -> bool:
    """Say whether a place holds keyword arguments none of which asks functions to write."""
    examples = ledger.ask(place) if type(place) is Outside else None
    return examples is not None and all(type(thing) is dict for thing in examples)


def _argument(ledger: Ledger, name: str, given: Mapping[str, object] | None) -> Value:
    thing = given.get(name, MISSING) if given is not None else MISSING
    return ledger.outside(Origin.ARGUMENT, name, thing)


# --- what a finding relied on ----------------------------------------------------------------------------------


def _guards(ledger: Ledger, given: Mapping[str, object] | None) -> tuple[Guard, ...]:
    if given is None:
        return ()
    return tuple(
        Guard(place.name, place.path, expected, tuple(_reference(thing) for thing in place.examples or ()))
        for place, expected in sorted(ledger.guards.items(), key=lambda guard: len(guard[0].path))
    )


def _relied(ledger: Ledger, function: object) -> tuple[tuple[Relied, ...], tuple[Part, ...]]:
    """Return where each global, cell and member can be found again, what it held, and what was found inside.

    Namespaces and cells are named, not kept: they lead back to the function, which must be able to go. Those of
    callees that are in no loaded module are not looked at again.
    """
    found: dict[object, Relied] = {}
    own = function.__globals__ if is_a(function, types.FunctionType) else None
    closure = (function.__closure__ or ()) if is_a(function, types.FunctionType) else ()
    for key, (namespace, thing) in ledger.globals_read.items():
        module = dict.get(namespace, "__name__")
        if namespace is own:
            found[key] = ("", key[1], _reference(thing))
        elif is_a(module, str) and _namespace(module) is namespace:
            found[key] = (module, key[1], _reference(thing))
    for name, thing in ledger.modules_read.items():
        found[MODULE, name] = (MODULE, name, _reference(thing))
    for index, cell in enumerate(closure):
        if id(cell) in ledger.cells_read:
            found[id(cell)] = (CELL, str(index), _reference(ledger.cells_read[id(cell)][1]))
    classes: dict[int, OfClass] = {}
    for (number, name), (cls, member) in ledger.members_read.items():
        found[number, name] = (classes.setdefault(number, OfClass(cls)), name, _reference(member))
    return tuple(found.values()), tuple(_parts(ledger, found))


def _parts(ledger: Ledger, found: Mapping[object, Relied]) -> Iterator[Part]:
    """Yield what was found inside of globals, cells and members, but not of modules of libraries."""
    roots = ledger.roots()
    for place, step, examples in ledger.parts_read:
        root = place
        while root.parent is not None:
            root = root.parent
        known = found.get(roots.get(root))
        if known is None or known[2] is MISSING:  # of a built-in name
            continue
        if not any(is_a(x, types.ModuleType) and is_library(home(x)) for x in place.examples or ()):
            kept = {id(identity(thing)): _reference(thing) for thing in examples}
            yield Part(known[0], known[1], (*place.path, step), tuple(kept.values()))


CELL: Final = "<cell>"
MODULE: Final = "<module>"


def _namespace(module: str) -> object:
    thing = loaded(module)
    return instance_namespace(thing) if is_a(thing, types.ModuleType) else None


def _reference(thing: object) -> object:
    """Return a weak reference to a function, class or module, or else to the type: a cache must not keep them."""
    if thing is MISSING:
        return MISSING
    try:
        return weakref.ref(identity(thing))
    except TypeError:
        return identity(thing)


def _is_gone(reference: object) -> bool:
    return is_a(reference, weakref.ReferenceType) and reference() is None


def _held(function: object, where: str | OfClass, name: str) -> object:
    if isinstance(where, OfClass):
        return where.held(name)
    if where == MODULE:
        return loaded(name)
    if where not in ("", CELL):
        namespace = _namespace(where)
        return dict.get(namespace, name, MISSING) if is_a(namespace, dict) else MISSING
    assert is_a(function, types.FunctionType)  # others have no globals of their own
    if where == "":
        return dict.get(function.__globals__, name, MISSING)
    try:
        return (function.__closure__ or ())[int(name)].cell_contents
    except ValueError:
        return MISSING


def _reference_holds(thing: object, kept: object) -> bool:
    if thing is MISSING or kept is MISSING:
        return thing is kept
    return _referent(kept) is identity(thing)


def _referent(kept: object) -> object:
    return kept() if is_a(kept, weakref.ReferenceType) else kept

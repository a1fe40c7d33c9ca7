"""Knows what a call may change and what it may give back, whoever is called.

Functions in Python are walked through with the values they are called with, so that a change of a parameter is a
change of what was passed. Functions in C, and those of known libraries, are looked up in the tables of `known`.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from parallel_deco.routing import known
from parallel_deco.routing.frames import Frame
from parallel_deco.routing.known import Species, is_library, own_function, species
from parallel_deco.routing.ledger import EffectKind, Exhausted, Ledger
from parallel_deco.routing.lookup import (
    MISSING,
    attribute,
    class_attribute,
    dotted_name,
    home,
    is_a,
    is_any,
    loaded,
    mro,
    unwrap_partial,
)
from parallel_deco.routing.values import (
    EMPTY,
    Bound,
    Const,
    Made,
    Method,
    Origin,
    Outside,
    Place,
    Site,
    Super,
    Value,
    describe,
    follow,
)

__all__ = ["Calls"]

DEPTH_MAX: Final = 10  # guessed; the number of steps bounds the cost, this bounds Python's own stack

Keywords: TypeAlias = dict[str, Value]

_CALLABLES: Final = (
    types.FunctionType,
    types.MethodType,
    types.BuiltinFunctionType,
    functools.partial,
    functools._lru_cache_wrapper,
)
_PROPERTIES: Final = (property, functools.cached_property)


def _single(place: Place) -> Value:
    return frozenset((place,))


def _union(values: Iterable[Value]) -> Value:
    return EMPTY.union(*values)


class Calls:
    """Reads calls; the frames that it starts come back to it for theirs."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.active: dict[types.CodeType, Frame] = {}
        self._frames: list[Frame] = []
        self._remembered: dict[object, tuple[int, Value]] = {}

    # --- what frames ask for -----------------------------------------------------------------------------------

    def call(self, callee: Value, arguments: list[Value], keywords: Keywords, spread: Value | None = None) -> Value:
        """Return what a call of `callee` may give, and write down what it may change.

        `spread` is what ``*args`` and ``**kwargs`` hold: it may land in any parameter.
        """
        if not callee:
            return self._call_fresh(EMPTY, arguments, keywords, spread)
        result: set[Place] = set()
        for place in callee:
            result |= self._call_place(place, arguments, keywords, spread)
        return frozenset(result)

    def attribute(self, value: Value, name: str, to_call: bool = False) -> Value:
        """Return what the attribute `name` of `value` may be; it is about to be called if `to_call`."""
        found: set[Place] = set()
        for place in value:
            kind = type(place)
            if kind is Outside:
                found |= self._outside_attribute(place, name)  # type: ignore[arg-type]
            elif kind is Site:
                found |= self._site_attribute(place, name, to_call)  # type: ignore[arg-type]
            elif kind is Super:
                found |= self._super_attribute(place, name)  # type: ignore[arg-type]
            elif kind is Const or kind is Made:
                found |= self.ledger.method(place, name)
        return frozenset(found)

    def item(self, value: Value, key: Value) -> Value:
        """Return what ``value[key]`` may be."""
        if not value:
            return EMPTY
        constant = next((place.value for place in key if type(place) is Const), None)
        found: set[Place] = set()
        for place in value:
            if type(place) is Outside:
                found |= self._outside_item(place, constant)
            elif type(place) is Site:
                found |= self._site_item(place, constant)
        return frozenset(found)

    def iterate(self, value: Value) -> Value:
        """Return what an iterator over `value` may be; an iterator is used up by it."""
        found = value
        self.ledger.uses_up(value)
        for place in value:
            if type(place) is Outside or (type(place) is Site and place.cls is not None):
                found |= self._own_special(place, "__iter__", [])
        return found

    def module(self, name: str, top: bool) -> Value:
        """Return the module that an import statement would give, if it is loaded already."""
        wanted = name.partition(".")[0] if top else name
        return self.ledger.imported(wanted, loaded(wanted))

    # --- attributes and items ----------------------------------------------------------------------------------

    def _outside_attribute(self, place: Outside, name: str) -> Value:
        for thing in self.ledger.ask(place) or ():
            if species(type(thing))[0] is Species.PLAIN:
                found = class_attribute(type(thing), name)
                if is_any(found, _PROPERTIES):
                    return self._property(found, _single(place))
        return self.ledger.child(place, "." + name)

    def _property(self, found: object, receiver: Value) -> Value:
        getter = found.fget if is_a(found, property) else getattr(found, "func", None)
        if is_a(getter, types.FunctionType) and own_function(getter):
            return self.call_function(getter, [receiver], {})
        return receiver

    def _site_attribute(self, site: Site, name: str, to_call: bool) -> Value:
        site.read = True
        found = site.attributes.get(name, EMPTY) | self.ledger.method(site, name)
        if site.opaque:
            found |= frozenset(place for place in site.contents if not to_call or _looks_callable(place))
        if site.cls is None or is_library(home(site.cls)):
            return found
        member = class_attribute(site.cls, name)
        if is_any(member, _PROPERTIES):
            return found | self._property(member, _single(site))
        if member is MISSING or is_any(member, (*_CALLABLES, staticmethod, classmethod)):
            return found
        return found | self.ledger.keeper(Origin.GLOBAL, f"{site.cls.__name__}.{name}", member)

    def _super_attribute(self, place: Super, name: str) -> Value:
        found: set[Place] = set()
        for cls in self._classes(place.receiver) or (place.after,):
            order = mro(cls)
            rest = order[order.index(place.after) + 1 :] if place.after in order else mro(place.after)[1:]
            for base in rest:
                member = type.__dict__["__dict__"].__get__(base).get(name, MISSING)
                if member is not MISSING:
                    found.add(self.ledger.bound(member, place.receiver))
                    break
        return frozenset(found)

    def _classes(self, receiver: Value) -> list[type]:
        classes: list[type] = []
        for place in receiver:
            if type(place) is Site and place.cls is not None:
                classes.append(place.cls)
            elif type(place) is Outside:
                for thing in self.ledger.ask(place) or ():
                    classes.append(thing if is_a(thing, type) else type(thing))
        return classes

    def _outside_item(self, place: Outside, constant: object) -> Value:
        examples = place.examples
        if type(constant) is slice:
            if examples is not None and all(is_any(thing, (list, tuple)) for thing in examples):
                self.ledger.ask(place)
                site = self.ledger.site((place, "[:]"))
                self.ledger.put(site, self.ledger.child(place, "[]"))
                return _single(site)
            return self.ledger.child(place, "[:]")
        for thing in examples or ():
            kind = species(type(thing))[0]
            if kind is Species.WATCHFUL:
                self.ledger.change(_single(place), "reads from, and so may add to,")
            elif kind is Species.PLAIN:
                own = self._own_special(place, "__getitem__", [EMPTY])
                if own:
                    return own | self.ledger.child(place, "[]")
        if place.origin is Origin.ARGUMENT:
            self.ledger.depends_on_reading(place)
        return self.ledger.child(place, "[]")

    def _site_item(self, site: Site, constant: object) -> Value:
        site.read = True
        if site.fields is not None and type(constant) is int and -len(site.fields) <= constant < len(site.fields):
            return site.fields[constant]
        if type(constant) is slice or site.fields is None:
            return frozenset(site.contents) | (_single(site) if type(constant) is slice else EMPTY)
        return _union(site.fields)

    def _own_special(self, place: Outside | Site, name: str, arguments: list[Value]) -> Value:
        """Call the special method `name` if the place holds objects of a class that defines it in Python."""
        if type(place) is Site:
            found = class_attribute(place.cls, name) if place.cls is not None else MISSING
            if is_a(found, types.FunctionType) and own_function(found):
                return self.call_function(found, [_single(place), *arguments], {})
            return EMPTY
        assert isinstance(place, Outside)
        result = EMPTY
        for thing in place.examples or ():
            if species(type(thing))[0] in (Species.PLAIN, Species.RESOURCE):
                found = class_attribute(type(thing), name)
                if is_a(found, types.FunctionType) and own_function(found):
                    self.ledger.ask(place)
                    result |= self.call_function(found, [_single(place), *arguments], {})
        return result

    # --- calls, by where the callee is from --------------------------------------------------------------------

    def _call_place(self, place: Place, arguments: list[Value], keywords: Keywords, spread: Value | None) -> Value:
        if type(place) is Outside:
            if place.step[:1] == "." and place.parent is not None:
                return self._call_attribute(place, arguments, keywords, spread)
            return self._call_outside(place, arguments, keywords, spread)
        if type(place) is Made:
            return self._call_made(place, arguments, keywords, spread)
        if type(place) is Method:
            return self._call_method_of_fresh(place, arguments, keywords, spread)
        if type(place) is Bound:
            return self._call_bound(place, arguments, keywords, spread)
        if type(place) is Site:
            return self._call_site(place, arguments, keywords, spread)
        return self._call_fresh(EMPTY, arguments, keywords, spread)

    def _call_outside(
        self, place: Outside, arguments: list[Value], keywords: Keywords, spread: Value | None
    ) -> Value:
        examples = self.ledger.ask(place)
        if examples is None:
            missing = ", which is not defined yet" if not place.path and place.origin is Origin.GLOBAL else ""
            argument = place.name if place.origin is Origin.ARGUMENT else None
            self.ledger.record(EffectKind.CALLS_UNKNOWN, f"calls {describe(place)}{missing}", argument)
            self._callbacks(arguments, keywords, spread)
            return _single(place) | self._doubtful(arguments, keywords, spread)
        results = [self.call_object(thing, _single(place), arguments, keywords, spread) for thing in examples]
        return _union(results)

    def _call_attribute(
        self, place: Outside, arguments: list[Value], keywords: Keywords, spread: Value | None
    ) -> Value:
        """Call ``owner.name(…)`` where the owner is from outside."""
        owner, name = place.parent, place.step[1:]
        assert owner is not None
        examples = self.ledger.ask(owner)
        if examples is None:
            library = _library_name(place)
            if library:
                return self._native_function(library, None, arguments, keywords, spread)
            if owner.origin is not Origin.ARGUMENT and not known.mutating(name):
                self.ledger.record(EffectKind.UNKNOWN, f"calls .{name}() of {describe(owner)}")
            return self._native_method(owner, name, arguments, keywords, spread)
        results = [self._call_member(thing, owner, place, name, arguments, keywords, spread) for thing in examples]
        return _union(results)

    def _call_member(
        self,
        thing: object,
        owner: Outside,
        place: Outside,
        name: str,
        arguments: list[Value],
        keywords: Keywords,
        spread: Value | None,
    ) -> Value:
        kind = species(type(thing))[0]
        found = attribute(thing, name)
        if is_a(thing, types.ModuleType):
            if found is MISSING:
                return self._native_function(f"{home(thing)}.{name}", None, arguments, keywords, spread)
            return self.call_object(found, _single(place), arguments, keywords, spread, via=f"{home(thing)}.{name}")
        if is_a(thing, type):
            if is_a(found, classmethod):
                return self.call_object(found.__func__, EMPTY, [_single(owner), *arguments], keywords, spread)
            if found is MISSING or species(thing)[0] is Species.NATIVE and not is_a(found, types.FunctionType):
                return self._native_function(f"{dotted_name(thing)}.{name}", found, arguments, keywords, spread)
            return self.call_object(found, _single(place), arguments, keywords, spread)
        if kind is Species.SCALAR:
            self._callbacks(arguments, keywords, spread)
            return EMPTY
        if kind is Species.RANDOM:
            self.ledger.record(EffectKind.RANDOM_STATE, f"draws from {describe(owner)}, a random generator")
            return self._native_method(owner, name, arguments, keywords, spread)
        if kind is Species.LOGGER or (kind is Species.CONTEXT and name not in ("set", "reset", "run")):
            return EMPTY
        if kind is Species.CONTEXT:
            self.ledger.change(_single(owner), f"calls .{name}() of")
            return EMPTY
        if name in ("map", "starmap", "submit") and home(type(thing)).startswith("parallel_deco."):
            inner = attribute(thing, "__wrapped__")
            given = [self.ledger.reach(value) for value in arguments]
            return self.call_object(inner, EMPTY, given, keywords, spread) if inner is not MISSING else EMPTY
        return self._call_found(thing, found, owner, place, name, arguments, keywords, spread)

    def _call_found(
        self,
        thing: object,
        found: object,
        owner: Outside,
        place: Outside,
        name: str,
        arguments: list[Value],
        keywords: Keywords,
        spread: Value | None,
    ) -> Value:
        on_class = class_attribute(type(thing), name)
        if found is not MISSING and found is not on_class:  # in the namespace of the instance
            return self.call_object(found, _single(place), arguments, keywords, spread)
        if is_a(found, staticmethod):
            return self.call_object(found.__func__, EMPTY, arguments, keywords, spread)
        if is_a(found, classmethod):
            cls = self.ledger.outside(Origin.GLOBAL, type(thing).__name__, type(thing))
            return self.call_object(found.__func__, EMPTY, [cls, *arguments], keywords, spread)
        if is_a(found, types.FunctionType) and own_function(found):
            return self.call_function(found, [_single(owner), *arguments], keywords, spread)
        if is_any(found, _PROPERTIES):
            got = self._property(found, _single(owner))
            return self._call_fresh(got, arguments, keywords, spread)
        wrapped = attribute(found, "__wrapped__") if found is not MISSING else MISSING
        if is_a(wrapped, types.FunctionType) and own_function(wrapped):
            return self.call_function(wrapped, [_single(owner), *arguments], keywords, spread)
        if species(type(thing))[0] is Species.FOREIGN and owner.origin is not Origin.ARGUMENT:
            self.ledger.record(EffectKind.CALLS_UNKNOWN, f"calls .{name}() of {describe(owner)}, which is compiled")
        return self._native_method(owner, name, arguments, keywords, spread)

    def call_object(
        self,
        thing: object,
        value: Value,
        arguments: list[Value],
        keywords: Keywords,
        spread: Value | None = None,
        via: str = "",
    ) -> Value:
        """Call an object that is known; `value` is where it is kept, `via` the dotted name it was reached by."""
        if is_a(thing, functools.partial):
            thing, first, named = unwrap_partial(thing)
            captured = [self.ledger.keeper(Origin.CAPTURED, f"argument {i}", x) for i, x in enumerate(first)]
            arguments = [*captured, *arguments]
            keywords = {**{k: self.ledger.keeper(Origin.CAPTURED, k, x) for k, x in named.items()}, **keywords}
            self.ledger.notice(_union([*arguments, *keywords.values()]))
        if is_a(thing, types.FunctionType):
            if own_function(thing):
                return self.call_function(thing, arguments, keywords, spread)
            return self._library_function(thing, via, arguments, keywords, spread)
        if is_a(thing, types.MethodType):
            return self._call_bound_object(thing.__func__, thing.__self__, value, arguments, keywords, spread)
        if is_a(thing, type):
            return self.instantiate(thing, arguments, keywords, spread)
        if is_any(thing, (staticmethod, classmethod)):
            return self.call_object(thing.__func__, value, arguments, keywords, spread)  # type: ignore[attr-defined]
        if is_a(thing, types.BuiltinFunctionType):
            receiver = thing.__self__
            if receiver is not None and not is_any(receiver, (types.ModuleType, type)):
                return self._call_bound_object(thing, receiver, value, arguments, keywords, spread)
            return self._native_function(via or dotted_name(thing), thing, arguments, keywords, spread)
        return self._call_instance(thing, value, arguments, keywords, spread, via)

    def _call_instance(
        self,
        thing: object,
        value: Value,
        arguments: list[Value],
        keywords: Keywords,
        spread: Value | None,
        via: str,
    ) -> Value:
        method = class_attribute(type(thing), "__call__")
        if is_a(method, types.FunctionType) and own_function(method):
            receiver = value or self.ledger.outside(Origin.CAPTURED, type(thing).__name__, thing)
            return self.call_function(method, [receiver, *arguments], keywords, spread)
        wrapped = attribute(thing, "__wrapped__")
        if wrapped is not MISSING and wrapped is not thing:
            self.ledger.spend(1)  # a chain of wrappers may be a ring
            return self.call_object(wrapped, EMPTY, arguments, keywords, spread)
        return self._native_function(via or dotted_name(thing), thing, arguments, keywords, spread)

    def _call_bound_object(
        self,
        function: object,
        receiver: object,
        value: Value,
        arguments: list[Value],
        keywords: Keywords,
        spread: Value | None,
    ) -> Value:
        """Call a method that was bound before: its receiver is a captured object."""
        name = next((place.name for place in value if type(place) is Outside), "")
        if is_a(receiver, type):
            owner = self.ledger.outside(Origin.GLOBAL, receiver.__name__, receiver)
        else:
            owner = self.ledger.keeper(Origin.CAPTURED, f"receiver of {name}" if name else "receiver", receiver)
            self.ledger.notice(owner)
        if is_a(function, types.FunctionType) and own_function(function):
            return self.call_function(function, [owner, *arguments], keywords, spread)
        called = dotted_name(function).rpartition(".")[2]
        for place in owner:
            if type(place) is Outside:
                if species(type(receiver))[0] is Species.RANDOM and known.mutating(called):
                    self.ledger.change(_union(arguments[:1]), "shuffles")
                return self._native_method(place, called, arguments, keywords, spread)
        return self._call_fresh(EMPTY, arguments, keywords, spread)

    # --- functions in Python -----------------------------------------------------------------------------------

    def call_function(
        self, function: types.FunctionType, arguments: list[Value], keywords: Keywords, spread: Value | None = None
    ) -> Value:
        """Walk through a function in Python with the values that it is called with."""
        code = function.__code__
        names = code.co_freevars
        free = tuple(
            self.ledger.captured(cell, name) for cell, name in zip(function.__closure__ or (), names, strict=False)
        )
        positional = [self._default(code, value) for value in function.__defaults__ or ()]
        named = {name: self._default(code, value) for name, value in (function.__kwdefaults__ or {}).items()}
        bound = self._bind(code, arguments, keywords, spread, positional, named)
        return self._walk(code, function.__globals__, function.__builtins__, free, bound)

    def _default(self, code: types.CodeType, value: object) -> Value:
        return self.ledger.keeper(Origin.DEFAULT, code.co_name, value)

    def _call_made(self, made: Made, arguments: list[Value], keywords: Keywords, spread: Value | None) -> Value:
        defaults: list[Value] = []
        for place in made.defaults:
            if type(place) is Site and place.fields is not None:
                defaults = list(place.fields)
        inside = self.ledger.inside(made.keyword_defaults)
        named = {name: inside for name in _keyword_only(made.code)} if made.keyword_defaults else {}
        bound = self._bind(made.code, arguments, keywords, spread, defaults, named)
        return self._walk(made.code, made.module, self._frames[-1].builtins, made.closure, bound)

    def _bind(
        self,
        code: types.CodeType,
        arguments: list[Value],
        keywords: Keywords,
        spread: Value | None,
        defaults: list[Value],
        keyword_defaults: Keywords,
    ) -> list[Value]:
        """Return the values of the parameters; wrong calls are forgiven, they fail without help."""
        count, names = code.co_argcount, code.co_varnames
        left = dict(keywords)
        bound: list[Value] = []
        without = count - len(defaults)
        for index in range(count):
            if index < len(arguments):
                bound.append(arguments[index])
                continue
            if names[index] in left:
                value = left.pop(names[index])
            else:
                value = defaults[index - without] if index >= without else EMPTY
            bound.append(value | spread if spread else value)
        for name in _keyword_only(code):
            value = left.pop(name) if name in left else keyword_defaults.get(name, EMPTY)
            bound.append(value | spread if spread else value)
        if code.co_flags & 4:
            bound.append(self._collected(code, "*", arguments[count:], spread))
        if code.co_flags & 8:
            bound.append(self._collected(code, "**", list(left.values()), spread))
        return bound

    def _collected(self, code: types.CodeType, star: str, values: list[Value], spread: Value | None) -> Value:
        site = self.ledger.site((code, star, tuple(values), spread))
        self.ledger.put(site, _union(values) | (spread or EMPTY))
        if star == "*" and spread is None:
            site.fields = values
        return _single(site)

    def _walk(
        self,
        code: types.CodeType,
        module: dict[str, object],
        builtins: dict[str, object],
        free: tuple[Value, ...],
        bound: list[Value],
    ) -> Value:
        key = (id(code), tuple(bound), free)
        remembered = self._remembered.get(key)
        if remembered is not None and remembered[0] == self.ledger.version:
            return remembered[1]
        for frame in self._frames:
            if frame.code is code:  # recursion: the walk under way takes these arguments, too
                frame.recursive = True
                frame.enter([*bound])
                return self._given(frame)
        if len(self._frames) >= DEPTH_MAX:
            raise Exhausted
        frame = self._frame(code, module, builtins, free)
        self._frames.append(frame)
        self.ledger.stack.append(frame)
        try:
            frame.enter([*bound])
            frame.run()
        finally:
            self._frames.pop()
            self.ledger.stack.pop()
        result = self._given(frame)
        self._remembered[key] = (self.ledger.version, result)
        return result

    def _frame(
        self, code: types.CodeType, module: dict[str, object], builtins: dict[str, object], free: tuple[Value, ...]
    ) -> Frame:
        caller = self._frames[-1] if self._frames else None
        key = self.ledger.frame_key(caller.key, caller.index, code) if caller is not None else 0
        return Frame(self, code, module, builtins, free, key)

    def _given(self, frame: Frame) -> Value:
        if not frame.code.co_flags & 0x2A0:  # neither generator nor coroutine
            return frame.returned
        site = self.ledger.site((frame.code, "generator"))
        self.ledger.put(site, frame.yielded | frame.returned)
        return _single(site)

    # --- classes -----------------------------------------------------------------------------------------------

    def instantiate(
        self, cls: type, arguments: list[Value], keywords: Keywords, spread: Value | None = None
    ) -> Value:
        """Make an instance of a class."""
        meta = class_attribute(type(cls), "__call__")
        if is_a(meta, types.FunctionType) and own_function(meta):
            owner = self.ledger.keeper(Origin.GLOBAL, cls.__name__, cls)
            return self.call_function(meta, [owner, *arguments], keywords, spread)
        name = dotted_name(cls)
        if is_library(name) or name in _SPECIAL:
            return self._native_function(name, cls, arguments, keywords, spread)
        if species(cls)[0] is Species.SCALAR:
            return EMPTY
        site = self._new_site(("instance", cls))
        site.cls = cls
        made: Value = _single(site)
        followed = False
        for special in ("__new__", "__init__"):
            method = class_attribute(cls, special)
            method = method.__func__ if is_a(method, staticmethod) else method
            if is_a(method, types.FunctionType) and own_function(method):
                followed = True
                first = self.ledger.keeper(Origin.GLOBAL, cls.__name__, cls) if special == "__new__" else made
                made |= self.call_function(method, [first, *arguments], keywords, spread)
        if not followed:
            site.opaque = True
            self.ledger.put(site, self._all(arguments, keywords, spread))
            self._callbacks(arguments, keywords, spread)
            if species(cls)[0] is Species.FOREIGN:
                self._foreign(cls.__name__, arguments, keywords, spread)
        return made

    def _new_site(self, kind: object) -> Site:
        frame = self._frames[-1] if self._frames else None
        return self.ledger.site((frame.key, frame.index, kind) if frame is not None else kind)

    def _build_class(self, arguments: list[Value]) -> Value:
        """Run a class statement: its functions become the members of a class made during the call."""
        site = self._new_site("class")
        site.members = {} if site.members is None else site.members
        for place in arguments[0] if arguments else EMPTY:
            if type(place) is Made and len(self._frames) < DEPTH_MAX:
                frame = self._frame(place.code, place.module, self._frames[-1].builtins, place.closure)
                self._frames.append(frame)
                self.ledger.stack.append(frame)
                try:
                    frame.enter([])
                    frame.run()
                finally:
                    self._frames.pop()
                    self.ledger.stack.pop()
                site.members.update(frame.namespace)
                self.ledger.put(site, _union(frame.namespace.values()))
        for base in arguments[2:]:
            self.ledger.put(site, base)
        return _single(site)

    def _call_site(self, site: Site, arguments: list[Value], keywords: Keywords, spread: Value | None) -> Value:
        """Call something made during the call: a class, or an instance with ``__call__``."""
        if site.members is not None:
            instance = self._new_site(("instance", site))
            instance.opaque = True
            made = _single(instance)
            self.ledger.put(instance, frozenset(site.contents) | self._all(arguments, keywords, spread))
            for name in ("__init__", "__post_init__"):
                if name in site.members:
                    self.call(site.members[name], [made, *arguments], keywords, spread)
            return made
        if site.cls is not None:
            method = class_attribute(site.cls, "__call__")
            if is_a(method, types.FunctionType) and own_function(method):
                return self.call_function(method, [_single(site), *arguments], keywords, spread)
        # A wrapper made by a library (``np.vectorize(f)``, a partial) calls what was put into it.
        self._callbacks([self.ledger.inside(_single(site))], {}, self._all(arguments, keywords, spread))
        return self._call_fresh(frozenset(site.contents), arguments, keywords, spread)

    # --- methods of what was made during the call --------------------------------------------------------------

    def _call_method_of_fresh(
        self, method: Method, arguments: list[Value], keywords: Keywords, spread: Value | None
    ) -> Value:
        owner, name = method.owner, method.name
        if type(owner) is not Site:
            self._callbacks(arguments, keywords, spread)
            return self._call_made_method(owner, name, arguments, keywords, spread)
        if owner.cls is not None and not is_library(home(owner.cls)):
            found = class_attribute(owner.cls, name)
            if is_any(found, (staticmethod, classmethod)):
                first = [] if is_a(found, staticmethod) else [
                    self.ledger.keeper(Origin.GLOBAL, owner.cls.__name__, owner.cls)
                ]
                return self.call_object(found.__func__, EMPTY, [*first, *arguments], keywords, spread)  # type: ignore[attr-defined]
            if is_a(found, types.FunctionType) and own_function(found):
                return self.call_function(found, [_single(owner), *arguments], keywords, spread)
        local = [place for place in owner.contents if type(place) is Made and place.code.co_name == name]
        if local:
            owner.read = True
            return _union(
                [self._call_made(made, [_single(owner), *arguments], keywords, spread) for made in local]
            )
        return self._native_method_of_fresh(owner, name, arguments, keywords, spread)

    def _call_made_method(
        self, owner: Place, name: str, arguments: list[Value], keywords: Keywords, spread: Value | None
    ) -> Value:
        if type(owner) is Made and name == "__call__":
            return self._call_made(owner, arguments, keywords, spread)
        return EMPTY

    def _native_method_of_fresh(
        self, owner: Site, name: str, arguments: list[Value], keywords: Keywords, spread: Value | None
    ) -> Value:
        given = self._all(arguments, keywords, spread)
        if name in known.CONSUMING:
            self.ledger.change(given, "fills")
        self._outs(keywords)
        self._callbacks(arguments, keywords, spread)
        if given:
            self.ledger.put(owner, given if name not in ("extend", "update") else self.ledger.reach(given))
        owner.read = True
        if name in ("__enter__", "__iter__", "__next__"):
            return _single(owner) | frozenset(owner.contents)
        if known.mutating(name) and not name.startswith(("pop", "get", "set", "fit")):
            return EMPTY
        result = self._new_site(("result", name))
        self.ledger.put(result, frozenset(owner.contents))
        result.opaque = owner.opaque
        if name in known.FRESH_METHODS:
            return _single(result)
        return _single(result) | frozenset(owner.contents)

    # --- what cannot be walked through -------------------------------------------------------------------------

    def _call_bound(
        self, place: Bound, arguments: list[Value], keywords: Keywords, spread: Value | None
    ) -> Value:
        function = place.function
        if is_a(function, staticmethod):
            return self.call_object(function.__func__, EMPTY, arguments, keywords, spread)
        function = function.__func__ if is_a(function, classmethod) else function
        if is_a(function, types.FunctionType):
            return self.call_object(function, EMPTY, [place.receiver, *arguments], keywords, spread)
        name = dotted_name(function).rpartition(".")[2]
        if known.mutating(name):
            self.ledger.change(place.receiver, _verb(name))
        for receiver in place.receiver:
            if type(receiver) is Site:
                self.ledger.put(receiver, self._all(arguments, keywords, spread))
        return place.receiver if name == "__new__" else self._call_fresh(EMPTY, arguments, keywords, spread)

    def _call_fresh(
        self, callee: Value, arguments: list[Value], keywords: Keywords, spread: Value | None
    ) -> Value:
        """Call an object of which nothing is known but that it does not come from outside."""
        self._outs(keywords)
        self._callbacks(arguments, keywords, spread)
        return callee | self._doubtful(arguments, keywords, spread)

    def _doubtful(self, arguments: list[Value], keywords: Keywords, spread: Value | None) -> Value:
        """Return a result that may be new, an argument, or a part of one."""
        given = self._all(arguments, keywords, spread)
        site = self._new_site("result")
        if not given:
            return _single(site)
        reached = frozenset(place for place in self.ledger.reach(given) if type(place) is not Const)
        site.opaque = True
        self.ledger.put(site, reached)
        return reached | _single(site)

    def _all(self, arguments: list[Value], keywords: Keywords, spread: Value | None) -> Value:
        return _union([*arguments, *keywords.values(), spread or EMPTY])

    def _native_method(
        self, owner: Outside, name: str, arguments: list[Value], keywords: Keywords, spread: Value | None
    ) -> Value:
        """Call a method, known by its name only, of something of the outside."""
        receiver = _single(owner)
        if known.mutating(name):
            self.ledger.change(receiver, _verb(name))
        if name in known.CONSUMING:
            self.ledger.change(self._all(arguments, keywords, spread), "fills")
        self._outs(keywords, receiver)
        self._callbacks(arguments, keywords, spread)
        site = self._new_site(("result", owner, name))
        if name in known.SHALLOW_METHODS:
            self.ledger.put(site, self.ledger.child(owner, "[*]"))
        if name in known.FRESH_METHODS:
            return _single(site)
        if name in ("items", "popitem"):
            return self._items(owner, site, one=name == "popitem")
        if name in ("get", "pop", "setdefault", "values", "keys", "__getitem__", "__iter__"):
            inner = self.ledger.child(owner, "[]") | _union(arguments[1:])
            self.ledger.put(site, inner)
            return inner | _single(site)
        if name == "__enter__":
            return receiver
        inner = self.ledger.child(owner, "." + name + "()")
        self.ledger.put(site, inner)
        return inner | _single(site)

    def _items(self, owner: Outside, site: Site, one: bool) -> Value:
        """Return the pairs of a dict: what is unpacked from one is an element."""
        inner = self.ledger.child(owner, "[]")
        pair = self._new_site(("pair", owner))
        pair.fields = [inner, inner]
        self.ledger.put(pair, inner)
        self.ledger.put(site, _single(pair))
        return _single(pair if one else site)

    def _library_function(
        self,
        function: types.FunctionType,
        via: str,
        arguments: list[Value],
        keywords: Keywords,
        spread: Value | None,
    ) -> Value:
        """Call a function in Python of a known library: believed, but for the user's functions inside it."""
        result = self._native_function(via or dotted_name(function), function, arguments, keywords, spread)
        wrapped = attribute(function, "__wrapped__")
        inner = [wrapped] if is_a(wrapped, types.FunctionType) and own_function(wrapped) else []
        for cell, name in zip(function.__closure__ or (), function.__code__.co_freevars, strict=False):
            for place in self.ledger.captured(cell, name):
                for thing in place.examples or () if type(place) is Outside else ():
                    things = follow((thing,), "[]") or () if is_any(thing, (dict, types.MappingProxyType)) else (thing,)
                    inner += [
                        each for each in things
                        if is_a(each, types.FunctionType) and own_function(each) and each is not wrapped
                    ]
        for each in inner:
            result |= self.call_object(each, EMPTY, arguments, keywords, spread)
        return result

    def _native_function(
        self,
        name: str,
        thing: object,
        arguments: list[Value],
        keywords: Keywords,
        spread: Value | None,
    ) -> Value:
        """Call a function that is known by its name only."""
        special = _SPECIAL.get(name)
        if special is not None:
            return special(self, arguments, keywords, spread)
        true_name = dotted_name(thing) if thing is not None and thing is not MISSING else name
        last = name.rpartition(".")[2]
        given = self._all(arguments, keywords, spread)
        if name in known.PROCESS_STATE or true_name in known.PROCESS_STATE:
            self.ledger.record(EffectKind.WRITES_GLOBAL, f"changes the state of the process with {name}()")
        if name in known.MUTATES_FIRST or true_name in known.MUTATES_FIRST:
            self.ledger.change(arguments[0] if arguments else given, f"changes, with {name}(),")
        elif is_any(thing, (types.MethodDescriptorType, types.WrapperDescriptorType)) and known.mutating(last):
            self.ledger.change(arguments[0] if arguments else given, _verb(last))
            for value in arguments[1:]:
                self._put_into(arguments[0], value)
        if last in known.CONSUMING:
            self.ledger.change(given, "fills")
        self._outs(keywords, arguments[0] if arguments else EMPTY)
        if home(type(thing)) == "numpy" and type(thing).__name__ == "ufunc":
            self.ledger.change(_union(arguments[thing.nin :]), "writes into")  # type: ignore[attr-defined]
            if last == "at":
                self.ledger.change(_union(arguments[:1]), "writes into")
        if not is_library(name) and not is_library(home(thing)):
            self._foreign(name, arguments, keywords, spread)
        self._callbacks(arguments, keywords, spread)
        return self._native_result(name, thing, last, arguments, keywords, spread)

    def _native_result(
        self,
        name: str,
        thing: object,
        last: str,
        arguments: list[Value],
        keywords: Keywords,
        spread: Value | None,
    ) -> Value:
        module = name.partition(".")[0]
        if module not in known.FRESH_MODULES or last in known.ALIASING or "copy" in keywords:
            return self._doubtful(arguments, keywords, spread)
        site = self._new_site(("made by", name))
        site.opaque = True
        if is_a(thing, type):
            site.cls = thing
            self.ledger.put(site, self.ledger.reach(self._all(arguments, keywords, spread)))
        elif module in ("builtins", "itertools", "random", "heapq"):
            self.ledger.put(site, self.ledger.inside(self._all(arguments, keywords, spread)))
        return _single(site)

    def _foreign(self, name: str, arguments: list[Value], keywords: Keywords, spread: Value | None) -> None:
        """Pass captured objects to compiled code that nobody knows: in doubt, it changes them."""
        for place in self._all(arguments, keywords, spread):
            if type(place) is Outside and place.origin is not Origin.ARGUMENT:
                if place.examples is not None and all(is_any(x, (*_CALLABLES, type)) for x in place.examples):
                    continue
                self.ledger.change(_single(place), f"passes to {name}(), which is compiled,")

    def _outs(self, keywords: Keywords, receiver: Value = EMPTY) -> None:
        """Look at the keyword arguments that ask a library to write in place."""
        for name, value in keywords.items():
            if name in ("out", "file", "where_out", "output", "dst"):
                self.ledger.change(value, "writes into")
            elif name == "inplace" or name.startswith("overwrite_"):
                if not _is(value, False):
                    self.ledger.change(receiver, f"with {name}, changes")

    def _callbacks(self, arguments: list[Value], keywords: Keywords, spread: Value | None) -> None:
        """Functions that are passed to somebody else are called by him, with whatever else he got."""
        values = [*arguments, *keywords.values(), *([spread] if spread else [])]
        for value in values:
            for place in value:
                if type(place) in (Made, Method, Bound) or (
                    type(place) is Outside
                    and place.examples is not None
                    and any(is_any(thing, _CALLABLES) or _is_own_callable(thing) for thing in place.examples)
                ):
                    others = [self.ledger.reach(self.ledger.reach(other)) for other in values if other is not value]
                    rest = _union(others)
                    if type(place) is Method and type(place.owner) is not Site:
                        continue
                    self._call_place(place, [], {}, rest)
                elif type(place) is Outside and place.step[:1] == "." and place.examples is None:
                    self._passed_method(place)

    def _passed_method(self, place: Outside) -> None:
        """``map(log.append, xs)``: a method of the outside is handed over."""
        if place.parent is not None and known.mutating(place.step[1:]):
            self.ledger.change(_single(place.parent), _verb(place.step[1:]))

    def _put_into(self, value: Value, contents: Value) -> None:
        for place in value:
            if type(place) is Site:
                self.ledger.put(place, contents)


def _library_name(place: Outside) -> str:
    """Return the dotted name of what is reached from a module of a known library, but not loaded yet."""
    names: list[str] = []
    step: Outside | None = place
    while step is not None:
        if step.examples is not None and len(step.examples) == 1 and is_a(step.examples[0], types.ModuleType):
            name = ".".join([home(step.examples[0]), *names])
            return name if is_library(name) else ""
        names.insert(0, step.step[1:])
        step = step.parent
    return ""


def _looks_callable(place: Place) -> bool:
    if type(place) is Outside:
        return place.examples is not None and any(
            is_any(thing, (*_CALLABLES, type)) or _is_own_callable(thing) for thing in place.examples
        )
    return type(place) is not Const


def _is_own_callable(thing: object) -> bool:
    if is_any(thing, (type, types.ModuleType)):
        return False
    method = class_attribute(type(thing), "__call__")
    return is_a(method, types.FunctionType) and own_function(method)


def _is(value: Value, constant: object) -> bool:
    return len(value) == 1 and all(type(place) is Const and place.value is constant for place in value)


def _verb(name: str) -> str:
    return known.VERBS.get(name) or f"calls .{name}() of"


def _keyword_only(code: types.CodeType) -> tuple[str, ...]:
    return code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]


# --- built-in functions that need a rule of their own ----------------------------------------------------------

Special: TypeAlias = "Callable[[Calls, list[Value], Keywords, Value | None], Value]"
_SPECIAL: Final[dict[str, Special]] = {}


def _special(names: str) -> Callable[[Special], Special]:
    def register(rule: Special) -> Special:
        for name in names.split():
            _SPECIAL[name] = rule
        return rule

    return register


@_special("""
    builtins.len builtins.abs builtins.hash builtins.id builtins.ord builtins.chr builtins.bin builtins.hex
    builtins.oct builtins.repr builtins.str builtins.int builtins.float builtins.bool builtins.complex
    builtins.isinstance builtins.issubclass builtins.callable builtins.round builtins.divmod builtins.pow
    builtins.ascii builtins.format builtins.range builtins.hasattr builtins.bytes builtins.any builtins.all
    builtins.slice
""")
def _plain(calls: Calls, arguments: list[Value], keywords: Keywords, spread: Value | None) -> Value:
    for value in arguments:
        calls.ledger.uses_up(value)
    return EMPTY


@_special("builtins.print")
def _print(calls: Calls, arguments: list[Value], keywords: Keywords, spread: Value | None) -> Value:
    calls._outs(keywords)
    return EMPTY


@_special("""
    builtins.list builtins.tuple builtins.set builtins.frozenset builtins.sorted builtins.reversed builtins.iter
    builtins.sum collections.deque copy.copy builtins.bytearray itertools.chain itertools.islice
    itertools.chain.from_iterable itertools.product itertools.combinations itertools.permutations
    itertools.cycle itertools.zip_longest
""")
def _container(calls: Calls, arguments: list[Value], keywords: Keywords, spread: Value | None) -> Value:
    calls._callbacks(arguments, keywords, spread)
    contents: Value = EMPTY
    for value in [*arguments, spread or EMPTY]:
        contents |= calls.ledger.inside(calls.iterate(value))
    site = calls._new_site("container")
    calls.ledger.put(site, contents)
    return _single(site)


@_special("builtins.zip")
def _zip(calls: Calls, arguments: list[Value], keywords: Keywords, spread: Value | None) -> Value:
    if spread is not None:
        return _container(calls, arguments, keywords, spread)
    return _pairs(calls, [calls.ledger.inside(calls.iterate(value)) for value in arguments])


@_special("builtins.enumerate")
def _enumerate(calls: Calls, arguments: list[Value], keywords: Keywords, spread: Value | None) -> Value:
    if spread is not None or not arguments:
        return _container(calls, arguments, keywords, spread)
    return _pairs(calls, [EMPTY, calls.ledger.inside(calls.iterate(arguments[0]))])


def _pairs(calls: Calls, fields: list[Value]) -> Value:
    pair = calls._new_site("pair")
    calls.ledger.put(pair, _union(fields))
    pair.fields = fields if pair.fields is None else [a | b for a, b in zip(pair.fields, fields, strict=False)]
    site = calls._new_site("container")
    calls.ledger.put(site, _single(pair))
    return _single(site)


@_special("builtins.map builtins.filter functools.reduce itertools.starmap itertools.accumulate itertools.groupby")
def _applied(calls: Calls, arguments: list[Value], keywords: Keywords, spread: Value | None) -> Value:
    if not arguments:
        return calls._doubtful(arguments, keywords, spread)
    iterated = [calls.ledger.inside(calls.iterate(value)) for value in arguments[1:]]
    result = calls.call(arguments[0], [], {}, _union(iterated)) if arguments[0] else EMPTY
    site = calls._new_site("container")
    calls.ledger.put(site, result | _union(iterated))
    return _single(site) | (result | _union(iterated))


@_special("builtins.dict collections.OrderedDict collections.Counter collections.defaultdict")
def _dict(calls: Calls, arguments: list[Value], keywords: Keywords, spread: Value | None) -> Value:
    given = _union([*arguments, spread or EMPTY])
    calls._callbacks(arguments, keywords, spread)
    once = calls.ledger.inside(calls.iterate(given))
    site = calls._new_site("container")
    calls.ledger.put(site, once | calls.ledger.inside(once) | _union(keywords.values()))
    return _single(site)


@_special("copy.deepcopy")
def _deepcopy(calls: Calls, arguments: list[Value], keywords: Keywords, spread: Value | None) -> Value:
    return _single(calls._new_site("copy"))


@_special("builtins.min builtins.max operator.getitem _operator.getitem")
def _chosen(calls: Calls, arguments: list[Value], keywords: Keywords, spread: Value | None) -> Value:
    calls._callbacks(arguments, keywords, spread)
    given = _union([*arguments, spread or EMPTY])
    return calls.ledger.reach(calls.iterate(given))


@_special("builtins.next builtins.anext")
def _next(calls: Calls, arguments: list[Value], keywords: Keywords, spread: Value | None) -> Value:
    first = arguments[0] if arguments else spread or EMPTY
    calls.ledger.change(first, "takes from")
    for place in first:
        if type(place) is Outside or type(place) is Site:
            calls._own_special(place, "__next__", [])
    return calls.ledger.inside(first) | _union(arguments[1:])


@_special("builtins.getattr")
def _getattr(calls: Calls, arguments: list[Value], keywords: Keywords, spread: Value | None) -> Value:
    if len(arguments) < 2 or spread:
        return calls._doubtful(arguments, keywords, spread)
    names = [place.value for place in arguments[1] if type(place) is Const and type(place.value) is str]
    found = _union([calls.attribute(arguments[0], name) for name in names])
    return (found if names else calls.ledger.reach(arguments[0])) | _union(arguments[2:])


@_special("builtins.setattr builtins.delattr")
def _setattr(calls: Calls, arguments: list[Value], keywords: Keywords, spread: Value | None) -> Value:
    first = arguments[0] if arguments else spread or EMPTY
    calls.ledger.change(first, "sets an attribute of", EffectKind.WRITES_ATTRIBUTE)
    calls._put_into(first, _union(arguments[2:]))
    for place in first:
        if type(place) is Site:
            place.opaque = True
    return EMPTY


@_special("builtins.vars builtins.super.__self__")
def _vars(calls: Calls, arguments: list[Value], keywords: Keywords, spread: Value | None) -> Value:
    return calls.ledger.reach(_union(arguments))


@_special("builtins.globals")
def _globals(calls: Calls, arguments: list[Value], keywords: Keywords, spread: Value | None) -> Value:
    return calls.ledger.keeper(Origin.GLOBAL, "globals()", calls._frames[-1].module)


@_special("builtins.super")
def _super(calls: Calls, arguments: list[Value], keywords: Keywords, spread: Value | None) -> Value:
    frame = calls._frames[-1]
    if len(arguments) >= 2:
        classes, receiver = arguments[0], arguments[1]
    else:
        classes = EMPTY
        for index, value in frame.free.items():
            if frame.names[index] == "__class__":
                classes = value
        receiver = (frame.variables[0] if frame.variables else None) or EMPTY
        if 0 in frame.cells:
            receiver = frame.load(0)
    found: set[Place] = set()
    for place in classes:
        for thing in (place.examples or ()) if type(place) is Outside else ():
            if is_a(thing, type):
                found.add(calls.ledger.super_of(thing, receiver))
    return frozenset(found) or calls.ledger.reach(receiver)


@_special("builtins.__build_class__")
def _class_statement(calls: Calls, arguments: list[Value], keywords: Keywords, spread: Value | None) -> Value:
    return calls._build_class(arguments)


@_special("builtins.type")
def _type(calls: Calls, arguments: list[Value], keywords: Keywords, spread: Value | None) -> Value:
    if len(arguments) != 1:
        return calls._doubtful(arguments, keywords, spread)
    found: set[Place] = set()
    for cls in calls._classes(arguments[0]):
        found |= calls.ledger.keeper(Origin.GLOBAL, cls.__name__, cls)
    return frozenset(found)


@_special("numpy.nan_to_num numpy.array")
def _maybe_copied(calls: Calls, arguments: list[Value], keywords: Keywords, spread: Value | None) -> Value:
    if _is(keywords.get("copy", EMPTY), True) or "copy" not in keywords:
        return _single(calls._new_site("copy"))
    calls.ledger.change(_union(arguments[:1]), "with copy=False, may change")
    return calls._doubtful(arguments, keywords, spread)

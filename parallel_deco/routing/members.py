"""Knows what attributes, items and iterators of values may be, and what reading them may change."""

from __future__ import annotations

import builtins
import functools
import sys
import types
from collections.abc import Iterable
from enum import EnumType
from typing import Final

from parallel_deco.routing.arrays import is_copied
from parallel_deco.routing.caches import is_cache, kept
from parallel_deco.routing.frames import Frame
from parallel_deco.routing.hooks import anybody_may_call, special_of
from parallel_deco.routing.known import AGGREGATES, Species, is_data, is_library, own_function, species
from parallel_deco.routing.ledger import Ledger
from parallel_deco.routing.looks import DEEP, item_step
from parallel_deco.routing.lookup import (
    MISSING,
    attribute,
    class_attribute,
    home,
    is_a,
    is_any,
    mro,
    namespace,
)
from parallel_deco.routing.natives import Natives
from parallel_deco.routing.rules import CALLABLES, looks_callable, single, union
from parallel_deco.routing.tables import is_table
from parallel_deco.routing.values import (
    EMPTY,
    NO_ARGUMENTS,
    Const,
    Given,
    Made,
    Method,
    Origin,
    Outside,
    Place,
    Site,
    Special,
    Super,
    Value,
    are_dicts,
    is_container,
)

__all__ = ["Members"]

_PROPERTIES: Final = (property, functools.cached_property)
_METHODS: Final = (*CALLABLES, staticmethod, classmethod, types.MemberDescriptorType)
_NESTED_MAX: Final = 4  # guessed: a list of pairs of objects has three
_NUMBER: Final = ("__index__", "__int__", "__float__", "__array__", "__array_ufunc__")
_VIEWING: Final = (slice, tuple, types.NoneType, types.EllipsisType)


class _MadeClass:
    """Stands for the classes that are made during the call: what comes after it are all known bases."""


class Members(Natives):
    """Reads attributes and items."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger)
        self.frames: list[Frame] = []
        self._specials: set[tuple[Site, str]] = set()  # of classes made during the call, that are being called

    def call_function(self, function: types.FunctionType, given: Given) -> Value:
        """Walk through a function in Python."""
        raise NotImplementedError

    def new_site(self, kind: object) -> Site:
        """Return the site of what the call under way makes."""
        frame = self.frames[-1] if self.frames else None
        return self.ledger.site((frame.key, frame.index, kind) if frame is not None else kind)

    def module_in_force(self) -> dict[str, object]:
        """Return the globals of the function under way."""
        return self.frames[-1].module

    def module(self, name: str, top: bool) -> Value:
        """Return the module that an import statement would give, if it is loaded already."""
        return self.ledger.imported(name.partition(".")[0] if top else name)

    def readable(self, thing: object) -> types.FunctionType | None:
        """Return the function in Python that `thing` is or wraps, if it is one to be walked through."""
        if not is_a(thing, types.FunctionType) and thing is not MISSING:
            thing = attribute(thing, "__wrapped__")
        return thing if is_a(thing, types.FunctionType) and own_function(thing) else None

    def answers_anything(self, thing: object) -> bool:
        """Say whether a class of the user's makes up attributes when it is asked for them."""
        return self.readable(class_attribute(type(thing), "__getattr__")) is not None

    def data_root(self, place: Outside) -> Outside:
        """Return the data of a known library from which a place is reached by names alone, or the place.

        Not by items or elements: a column of a table may hold objects of the user's. A column itself may be named.
        """
        root, name = place, ""
        while root.parent is not None and root.examples is None and (root.step[0] == "." or _is_column(root)):
            root, name = root.parent, root.step[1:].removesuffix("()")
        ours = not any(self._is_foreign_accessor(thing, name) for thing in self.ledger.ask(root) or ())
        return root if ours and self._is_data(root) else place

    def of_data(self, place: Outside, name: str = "") -> bool:
        """Say whether a place holds data of a known library, or what is reached from it by names alone.

        It is enough that it is reached from such data in any way where what is called is a `name` like ``sum``.
        """
        root = self.data_root(place)
        while name in AGGREGATES and root.parent is not None and root.examples is None:
            root = self.data_root(root.parent)
        return self._is_data(root)

    @staticmethod
    def _is_data(place: Outside) -> bool:
        return bool(place.examples) and all(is_data(type(thing)) for thing in place.examples or ())

    @staticmethod
    def _is_foreign_accessor(thing: object, name: str) -> bool:
        """Say whether an attribute of a table is one that the user has registered with pandas."""
        found = class_attribute(type(thing), name)
        accessor = attribute(found, "_accessor") if found is not MISSING else MISSING
        return is_a(accessor, type) and not is_library(home(accessor))

    # --- attributes ------------------------------------------------------------------------------------------------

    def attribute(self, value: Value, name: str, to_call: bool = False) -> Value:
        """Return what the attribute `name` of `value` may be; it is about to be called if `to_call`."""
        if len(value) == 1:
            (place,) = value
            return self._attribute_of(place, name, to_call)
        return self.ledger.narrow(union([self._attribute_of(place, name, to_call) for place in value]))

    def _attribute_of(self, place: Place, name: str, to_call: bool) -> Value:
        if type(place) is Outside:
            return self._outside_attribute(place, name, to_call)
        if type(place) is Site:
            return self._site_attribute(place, name, to_call)
        if type(place) is Super:
            return self._super_attribute(place, name)
        return self.ledger.method(place, name) if type(place) in (Const, Made) else EMPTY

    def _outside_attribute(self, place: Outside, name: str, to_call: bool) -> Value:
        given = EMPTY  # by descriptors, and those who make attributes up
        for thing in self.ledger.ask(place) or ():
            if thing is builtins:
                self.ledger.use_built_in(name)
            if is_a(thing, type):
                found = class_attribute(thing, name)
                if not is_library(home(thing)):
                    self.ledger.note_member(thing, name, found)
                missing = found is MISSING and attribute(thing, name) is MISSING
                given |= self._getters(type(thing), found, EMPTY, missing)
            if species(type(thing))[0] is Species.PLAIN:
                found = class_attribute(type(thing), name)
                if self.is_property(found):
                    self.ledger.look(single(place), "." + name)
                    return self.read_property(found, single(place))
                given |= self._getters(type(thing), found, single(place), attribute(thing, name) is MISSING)
        if not to_call:
            self.ledger.look(single(place), "." + name)
        return given | self.ledger.child(place, "." + name)

    def matched(self, subject: Value, classes: Value, count: int, names: tuple[str, ...]) -> Value:
        """Return what a class pattern of so many positions and these names reads from `subject`."""
        self.ask_classes(classes)
        wanted = dict.fromkeys(names)
        for cls in self.classes_in(classes):
            positions = class_attribute(cls, "__match_args__")
            wanted |= dict.fromkeys(positions[:count] if type(positions) is tuple else ())
        return union([self.attribute(subject, name) for name in wanted if type(name) is str])

    def ask_classes(self, classes: Value) -> None:
        """Ask classes whether something is of theirs: metaclasses, and hooks of abstract ones, may have a say."""
        for place in classes:
            for cls in (place.examples or ()) if type(place) is Outside else ():
                hooks = (attribute(cls, "__subclasshook__"),) if is_a(cls, type) else ()
                asked = [class_attribute(type(cls), name) for name in ("__instancecheck__", "__subclasscheck__")]
                for hook in (*asked, *hooks):
                    function = self.readable(hook)
                    if function is not None:
                        self.call_function(function, Given([single(place), EMPTY]))

    def _getters(self, cls: type, member: object, receiver: Value, missing: bool) -> Value:
        """Walk through what reading an attribute calls: ``__getattribute__``, and a descriptor's ``__get__``.

        ``__getattr__`` is called where the attribute is `missing`.
        """
        result = EMPTY
        for name in ("__getattribute__", "__getattr__") if missing else ("__getattribute__",):
            hook = self.readable(class_attribute(cls, name))
            result |= self.call_function(hook, Given([receiver])) if hook is not None else EMPTY
        getter = self.readable(class_attribute(type(member), "__get__")) if member is not MISSING else None
        if getter is not None:
            descriptor = self.ledger.keeper(Origin.GLOBAL, type(member).__name__, member)
            result |= self.call_function(getter, Given([descriptor, receiver]))
        return result

    def is_property(self, found: object) -> bool:
        """Say whether reading the attribute `found` of a class runs a getter."""
        return is_any(found, _PROPERTIES)

    def read_property(self, found: object, receiver: Value) -> Value:
        """Walk through the getter of a property."""
        getter = found.fget if is_a(found, property) else getattr(found, "func", None)
        if not (is_a(getter, types.FunctionType) and own_function(getter)):
            return receiver
        result = self.call_function(getter, Given([receiver]))
        lasts = is_cache(found) and any(type(place) is Outside for place in receiver)
        return kept(self.ledger, result, getter.__name__) if lasts else result

    def _made_attribute(self, site: Site, name: str) -> Value:
        """Call what gives an attribute, where the class was made during the call."""
        result = self.own_special(site, "__getattribute__", Given([EMPTY]))
        member = self.made_member(site, name)
        if not member and name not in site.attributes:
            result |= self.own_special(site, "__getattr__", Given([EMPTY]))
        for place in member:
            if isinstance(place, (Outside, Site)):
                result |= self.own_special(place, "__get__", Given([single(site), EMPTY]))
        return result

    def _site_attribute(self, site: Site, name: str, to_call: bool) -> Value:
        site.read = True
        if name == "__dict__":
            self._open(site)
            return single(site)
        found = site.attributes.get(name, EMPTY) | self.ledger.method(site, name)
        if name[-1] == "*":
            found |= union([value for key, value in site.attributes.items() if key.startswith(name[:-1])])
        if site.opaque:
            found |= frozenset([place for place in site.contents if not to_call or looks_callable(place)])
        if name == "args" and site.cls is not None and issubclass(site.cls, BaseException):
            found |= single(site)
        if site.made_by is not None:
            found |= self._made_attribute(site, name)
        if site.cls is None or is_library(home(site.cls)):
            return found
        member = class_attribute(site.cls, name)
        self.ledger.note_member(site.cls, name, member)
        if self.is_property(member):
            return found | self.read_property(member, single(site))
        found |= self._getters(site.cls, member, single(site), member is MISSING and name not in site.attributes)
        if member is MISSING or is_any(member, _METHODS):
            return found
        return found | self.ledger.member(site.cls, name, member)

    def _open(self, site: Site) -> None:
        """Somebody has the namespace of an object, and may put into it what he likes."""
        if not site.opaque:
            site.opaque = True
            self.ledger.version += 1

    def _super_attribute(self, place: Super, name: str) -> Value:
        found: set[Place] = set()
        for cls in self.classes_of(place.receiver) or [place.after]:
            order = mro(cls)
            after = order.index(place.after) + 1 if place.after in order else 0
            for base in order[after:] if after or place.after is _MadeClass else mro(place.after)[1:]:
                member = namespace(base).get(name, MISSING)
                if member is not MISSING:
                    found |= self._above(base, name, member, place.receiver)
                    break
        return frozenset(found)

    def _above(self, base: type, name: str, member: object, receiver: Value) -> Value:
        """Return what an attribute is that stands on a base, for an object or class below."""
        if self.is_property(member):
            return self.read_property(member, receiver)
        if is_any(member, _METHODS) or class_attribute(type(member), "__call__") is not MISSING:
            return single(self.ledger.bound(member, receiver))
        given = self._getters(base, member, receiver, missing=False)
        return given | self.ledger.member(base, name, member)

    def super_of(self, given: Given) -> Value:
        """Return what ``super()`` gives: in a method, the class of the method and its first argument."""
        frame = self.frames[-1]
        if len(given.positional) >= 2:
            classes, receiver = given.positional[:2]
        else:
            named = [value for index, value in frame.free.items() if frame.names[index] == "__class__"]
            classes, receiver = union(named), frame.load(0) if frame.variables else EMPTY
        known = [self.ledger.super_of(cls, receiver) for cls in self.classes_in(classes)]
        if any(type(place) is Site and place.made_by is not None for place in receiver):
            return self.ledger.reach(receiver) | single(self.ledger.super_of(_MadeClass, receiver))
        return frozenset(known) or self.ledger.reach(receiver)

    @staticmethod
    def classes_in(value: Value) -> list[type]:
        """Return the classes of the outside that `value` may be."""
        return [x for place in value if type(place) is Outside for x in place.examples or () if is_a(x, type)]

    def members_of(self, cls: object) -> Value:
        """Return the members of an enumeration; nothing of another class."""
        if not is_a(cls, EnumType) or is_library(home(cls)):
            return EMPTY
        table = namespace(cls).get("_member_map_")
        if not is_a(table, dict):
            return EMPTY
        return union([self.ledger.keeper(Origin.GLOBAL, f"{cls.__name__}.{name}", x) for name, x in table.items()])

    def methods_like(self, cls: type, name: str) -> list[types.FunctionType]:
        """Return the methods of the user's that an attribute may be of whose name only the beginning is known."""
        found: dict[str, types.FunctionType] = {}
        for base in reversed(mro(cls)):
            for key, member in list(namespace(base).items()):
                function = self.readable(member) if is_any(member, _METHODS[:1]) else None
                if function is not None and key.startswith(name[:-1]) and key[:2] != "__":
                    found[key] = function
        return list(found.values())

    def classes_of(self, value: Value) -> list[type]:
        """Return the classes that are known of `value`; of a class, itself."""
        classes: list[type] = []
        for place in value:
            if type(place) is Site and place.cls is not None:
                classes.append(place.cls)
            elif type(place) is Outside:
                classes += [x if is_a(x, type) else type(x) for x in self.ledger.ask(place) or ()]
        return classes

    def set_attribute(self, place: Outside | Site, name: str, value: Value) -> None:
        """Set an attribute, by its setter if it has one."""
        if isinstance(place, Site):
            self._put_attribute(place, name, value)
            classes = [place.cls] if place.cls is not None and not is_library(home(place.cls)) else []
        else:
            classes = [type(x) for x in self.ledger.ask(place) or () if species(type(x))[0] is Species.PLAIN]
        for cls in classes:
            self._call_setters(cls, place, name, value)

    def _put_attribute(self, site: Site, name: str, value: Value) -> None:
        self.ledger.put_attribute(site, name, value)
        if site.made_by is not None:
            self.own_special(site, "__setattr__", Given([EMPTY, value]))
            for place in self.made_member(site, name):
                if isinstance(place, (Outside, Site)):
                    self.own_special(place, "__set__", Given([single(site), value]))
        if site.opaque and (site.cls is None or is_library(home(site.cls))):
            self.callbacks(Given([value]))  # an object of a library calls what is put into it: expat's handlers

    def _call_setters(self, cls: type, place: Outside | Site, name: str, value: Value) -> None:
        """Call what a class has for the case that an attribute is set."""
        found = class_attribute(cls, name)
        setter = self.readable(found.fset) if is_a(found, property) else None
        if setter is not None:
            self.call_function(setter, Given([single(place), value]))
        self._call_descriptor(found, "__set__", Given([single(place), value]))
        hook = self.readable(class_attribute(cls, "__setattr__"))
        if hook is not None:
            self.call_function(hook, Given([single(place), EMPTY, value]))

    def delete_attribute(self, owner: Value, name: str) -> None:
        """Call what is called where an attribute is deleted."""
        self.operate(owner, "__delattr__", Given([EMPTY]))
        for place in owner:
            made = type(place) is Site
            for cls in self.classes_of(single(place)) if made or type(place) is Outside else ():
                found = class_attribute(cls, name)
                deleter = self.readable(found.fdel) if is_a(found, property) else None
                if deleter is not None:
                    self.call_function(deleter, Given([single(place)]))
                if made:
                    self._call_descriptor(found, "__delete__", Given([owner]))

    def _call_descriptor(self, found: object, special: str, given: Given) -> None:
        """Call a special method of what stands on a class."""
        function = special_of(type(found), special)
        if function is not None:
            descriptor = self.ledger.keeper(Origin.GLOBAL, type(found).__name__, found)
            self.call_function(function, given.after(descriptor))

    def operate(self, value: Value, name: str, given: Given) -> Value:
        """Call the special method of an operator, where the class of `value` is known and defines it.

        Not of an argument: then each addition would make the answer depend on the types of the arguments.
        """
        result = EMPTY
        for place in filter(_has_methods, value):
            result |= self.own_special(place, name, given)  # type: ignore[arg-type]
        return result

    def as_number(self, value: Value) -> None:
        """Call what a number, an array or a text asks an object for when they meet."""
        places = frozenset(filter(_has_methods, value))
        for name in _NUMBER if places else ():
            self.operate(places, name, NO_ARGUMENTS)

    def ask(self, value: Value, names: Iterable[str] = (), given: Given = NO_ARGUMENTS, deep: bool = False) -> None:
        """Call special methods of objects, and of what is in containers: these, or all that anybody may call.

        If `deep`, also of what is in the attributes of objects.
        """
        places = frozenset(filter(_has_methods, self._asked(value, deep))) if value else EMPTY
        for name in names if places else ():
            self.operate(places, name, given)
        for place in places if not names else ():
            for cls in self.classes_of(single(place)):
                self.call_hooks(place, cls, Given([places]), special=True)  # type: ignore[arg-type]
            for name in filter(anybody_may_call, self._names_made(place)):
                self.own_special(place, name, Given([EMPTY]))  # type: ignore[arg-type]

    def _asked(self, value: Value, deep: bool) -> Value:
        """Return those of `value`, and of what is inside, that may have special methods of the user's."""
        found: set[Place] = set()
        for _ in range(_NESTED_MAX):
            value = frozenset(filter(_may_be_asked, value - found))
            if not value:
                break
            found |= value
            value = union([self._kept_in(place, deep) for place in value])
        return frozenset(found)

    @staticmethod
    def _names_made(place: Place) -> list[str]:
        """Return the names of what the class of an object has, if it was made during the call."""
        classes = _made_classes(place.made_by) if type(place) is Site else []
        return list(dict.fromkeys(name for cls in classes for name in cls.members or ()))

    @staticmethod
    def made_member(site: Site, name: str) -> Value:
        """Return what the class of `site` has under `name`, if it was made during the call."""
        for cls in _made_classes(site.made_by):
            if name in (cls.members or ()):
                return cls.members[name]  # type: ignore[index]
        return EMPTY

    def _kept_in(self, place: Place, deep: bool) -> Value:
        if type(place) is not Outside:
            return self.ledger.inside(single(place))
        found = self.ledger.child(place, "[]") if any(map(is_container, place.examples or ())) else EMPTY
        plain = deep and any(species(type(thing))[0] is Species.PLAIN for thing in place.examples or ())
        return found | self.ledger.child(place, ".*") if plain else found

    # --- items -----------------------------------------------------------------------------------------------------

    def item(self, value: Value, key: Value) -> Value:
        """Return what ``value[key]`` may be."""
        only = next(iter(key)) if len(key) == 1 else None
        constant = only.value if type(only) is Const else None
        copies = bool(key) and all(map(self._gives_copies, key))
        self.ledger.look(value, item_step(key))
        views = any(map(self._gives_views, key))
        found: set[Place] = set()
        for place in value:
            if type(place) is Outside:
                if type(constant) is str and any(thing is sys.modules for thing in place.examples or ()):
                    found |= self.ledger.imported(constant)
                    continue
                if copies and is_copied(self.ledger.ask(place)):
                    found |= self._copied(place)
                    continue
                found |= self._outside_item(place, constant)
                if views and any(home(type(thing)).partition(".")[0] == "numpy" for thing in place.examples or ()):
                    found |= self.ledger.child(place, "[:]")
            elif type(place) is Site:
                found |= self._site_item(place, constant)
        return self.ledger.narrow(frozenset(found))

    def _gives_views(self, key: Place) -> bool:
        """Say whether an array that has this as an index may give a view of itself, also where it has one dimension."""
        if type(key) is Const:
            return type(key.value) in _VIEWING
        if type(key) is Site:
            return key.fields is not None and any(self._gives_views(place) for field in key.fields for place in field)
        if type(key) is not Outside:
            return False
        examples = self.ledger.ask(key)
        return examples is None or any(type(thing) in _VIEWING for thing in examples)

    def _gives_copies(self, key: Place) -> bool:
        """Say whether an array that has this as an index gives a copy: a mask, a list, an array of positions."""
        if type(key) is not Site:
            return type(key) is Const and key.value is Special.TRUTH
        if key.fields is not None:
            return any(field and all(map(self._gives_copies, field)) for field in key.fields)
        return key.listed or key.plain

    def _copied(self, place: Outside) -> Value:
        site = self.ledger.site((place, "copied"))
        self.copy_into(site, place)
        return single(site)

    def _outside_item(self, place: Outside, constant: object) -> Value:
        examples = self.ledger.ask(place)
        if type(constant) is slice:
            return self.own_special(place, "__getitem__", Given([EMPTY])) | self._slice(place)
        result = EMPTY
        for thing in examples or ():
            kind = species(type(thing))[0]
            result |= self.members_of(thing)
            hook = attribute(thing, "__class_getitem__") if is_a(thing, type) else MISSING
            getter = self.readable(hook)
            if getter is not None:
                result |= self.call_function(getter, Given([single(place), EMPTY]))
            if kind is Species.WATCHFUL:
                self.ledger.change(single(place), "reads from, and so may add to,")
            elif kind is Species.PLAIN:
                result |= self.own_special(place, "__getitem__", Given([EMPTY]))
                result |= self.own_special(place, "__missing__", Given([EMPTY]))
        return result | self.ledger.child(place, "[]")

    def _slice(self, place: Outside) -> Value:
        if place.examples is None or not all(is_any(thing, (list, tuple)) for thing in place.examples):
            return self.ledger.child(place, "[:]")
        site = self.ledger.site((place, "[:]"))
        self.ledger.put(site, self.ledger.child(place, "[]"))
        return single(site)

    def _site_item(self, site: Site, constant: object) -> Value:
        site.read = True
        special = EMPTY
        if _has_class(site):
            special = self.own_special(site, "__getitem__", Given([EMPTY]))
            special |= self.own_special(site, "__missing__", Given([EMPTY]))
        if type(constant) is slice:
            return special | single(site)
        if site.fields is None:
            return special | self.ledger.inside(single(site))
        if type(constant) is int and -len(site.fields) <= constant < len(site.fields):
            return site.fields[constant]
        return union(site.fields)

    # --- iterators -------------------------------------------------------------------------------------------------

    def iterate(self, value: Value) -> Value:
        """Return what an iterator over `value` may be; an iterator is used up by it."""
        found = value
        self.ledger.look(value, DEEP)
        self.ledger.uses_up(value)
        for place in value:
            if type(place) is Outside or (type(place) is Site and _has_class(place)):
                iterator = self.own_special(place, "__iter__", Given([]))
                found |= iterator or self._stepped(place, "__getitem__", Given([EMPTY]))
        for place in found:
            if type(place) is Outside or (type(place) is Site and _has_class(place)):
                found |= self._stepped(place, "__next__", Given([]))
        members = union([self.members_of(cls) for cls in self.classes_in(value)])
        if members:
            over = self.new_site("members")
            self.ledger.put(over, members)
            found |= single(over)
        return found

    def loop_over(self, value: Value) -> Value:
        """Return what a loop's iterator over `value` may be: of a dict, that of its keys."""
        return self.iterate(union([self._keys(place) for place in value]))

    def _keys(self, place: Place) -> Value:
        dicts = type(place) is Outside and are_dicts(self.ledger.ask(place))
        return self.ledger.child(place, "[keys]") if dicts else single(place)  # type: ignore[arg-type]

    def _stepped(self, place: Outside | Site, name: str, given: Given) -> Value:
        """Return an iterator over what a special method gives, if the class defines it."""
        elements = self.own_special(place, name, given)
        if not elements:
            return EMPTY
        iterator = self.ledger.site((place, name))
        self.ledger.put(iterator, elements)
        return single(iterator)

    def own_special(self, place: Outside | Site, name: str, given: Given) -> Value:
        """Call the special method `name` if the place holds objects of a class that defines it in Python."""
        result = EMPTY
        if type(place) is Site:
            made = frozenset(filter(looks_callable, self.made_member(place, name)))
            if made:
                return self._call_special(place, name, made, given)
            classes = [place.cls] if place.cls is not None else []
        else:
            classes = [type(thing) for thing in self.ledger.ask(place) or ()]  # type: ignore[arg-type]
        for cls in classes:
            if species(cls)[0] in (Species.PLAIN, Species.RESOURCE):
                function = special_of(cls, name)
                if function is not None:
                    result |= self.call_function(function, given.after(single(place)))
        return result

    def _call_special(self, place: Site, name: str, made: Value, given: Given) -> Value:
        """Call a special method of a class made during the call, which may be a method of another object.

        That is not walked through, and may be said to call it again.
        """
        key = (place, name)
        if key in self._specials and all(type(each) is Method for each in made):
            return EMPTY
        self._specials.add(key)
        try:
            return self.call(made, given.after(single(place)))
        finally:
            self._specials.discard(key)


def _made_classes(cls: Site | None) -> list[Site]:
    """Return a class made during the call, and those of its bases that were."""
    found: list[Site] = []
    left = [cls] if cls is not None else []
    while left:
        cls = left.pop(0)
        if cls not in found:
            found.append(cls)
            left += [place for place in cls.bases if type(place) is Site and place.members is not None]
    return found


def _has_class(site: Site) -> bool:
    return site.cls is not None or site.made_by is not None


def _may_be_asked(place: Place) -> bool:
    """Say whether a place may hold objects of the user's, or containers of them."""
    if type(place) is not Outside or place.origin is Origin.ARGUMENT:
        return type(place) is Site
    return _has_methods(place) or any(map(is_container, place.examples or ()))


def _has_methods(place: Place) -> bool:
    """Say whether a place may hold objects of the user's that have special methods; of arguments nobody asks."""
    if type(place) is Site:
        return _has_class(place)
    if type(place) is not Outside or place.origin is Origin.ARGUMENT:
        return False
    return any(species(type(thing))[0] in (Species.PLAIN, Species.RESOURCE) for thing in place.examples or ())


def _is_column(place: Outside) -> bool:
    """Say whether a place is an item of a table, or of the groups of one: a column, not what is in it."""
    table = place.parent
    if table is None or place.step != "[]":
        return False
    by_name = table.step == ".groupby()" and table.parent is not None
    examples = (table.parent if by_name and table.parent is not None else table).examples
    return bool(examples) and all(map(is_table, examples or ()))

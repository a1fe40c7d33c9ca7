"""Keeps what the reading of effects has found: the effects, the places, and what the finding relied on."""

from __future__ import annotations

import builtins
import enum
import sys
import types
from dataclasses import dataclass, replace
from typing import Final, Protocol

from parallel_deco.routing.bytecode import line_at
from parallel_deco.routing.known import RESEEDING, Species, species
from parallel_deco.routing.looks import ALL, NAMESPACE, Looks, Spot, is_changeable
from parallel_deco.routing.lookup import MISSING, is_a, is_fixed_class, is_iterator_type, is_made_up, loaded
from parallel_deco.routing.values import (
    EMPTY,
    Bound,
    Cell,
    Const,
    Examples,
    Made,
    Method,
    Origin,
    Outside,
    Place,
    Site,
    Super,
    Value,
    describe,
    example,
    follow,
    follow_in_tables,
    identity,
    is_scalar,
    number_anew,
    signature,
    unsure,
)

__all__ = ["OF_MAIN", "Effect", "EffectKind", "Exhausted", "Ledger", "Position"]

STEPS_MAX: Final = 6000  # guessed: about 6 ms of reading; beyond it a function counts as unreadable
PATH_MAX: Final = 4
PLACES_MAX: Final = 24  # more places than that in one value are lumped together


class EffectKind(enum.Enum):
    """What sort of change an effect is."""

    WRITES_GLOBAL = "writes a global"
    WRITES_NONLOCAL = "writes a variable of the enclosing function"
    WRITES_ATTRIBUTE = "writes an attribute"
    MUTATES_ARGUMENT = "changes an argument"
    MUTATES_CAPTURED = "changes a captured object"
    CAPTURES_RESOURCE = "captures what cannot travel"
    RANDOM_STATE = "draws from a shared random stream"
    DIFFERS = "gives something else in another process"
    CALLS_UNKNOWN = "calls what cannot be read"
    UNKNOWN = "cannot be told"


@dataclass(frozen=True, slots=True)
class Effect:
    """Something that a call would change outside of itself, or needs from there.

    Attributes
    ----------
    what : str
        In words, to follow the function's name: ``"appends to the global 'log'"``.
    file, line : str, int
        Where the code stands that does it; in a callee, the line of the callee.
    kind : EffectKind
    unless_immutable : str or None
        Name of the argument that decides: there is no effect where a number, string or the like is given.
    atomic : bool
        Whether threads may do it at the same time without losing any of it: `list.append` is, ``n += 1`` is not.
        (The order is another matter: only the plain loop keeps it.)
    """

    what: str
    file: str
    line: int
    kind: EffectKind
    unless_immutable: str | None = None
    atomic: bool = False


class Exhausted(Exception):
    """The code is too long, too deep or too tangled to be read to the end."""


class Position(Protocol):
    """Where the reading is: the frame that is being walked."""

    code: types.CodeType
    index: int

    @property
    def offset(self) -> int:
        """Offset in bytes of the current instruction."""
        ...

    @property
    def guarded(self) -> bool:
        """Whether a lock is held here."""
        ...

    @property
    def drops(self) -> bool:
        """Whether nothing is made of what the instruction gives."""
        ...


class Ledger:
    """The book of one reading.

    Attributes
    ----------
    effects : list of Effect
    depends : bool
        Whether the types of the arguments could change the answer.
    guards : dict from Outside to frozenset of int
        The examples of arguments that the answer relied on, by place.
    globals_read, modules_read, cells_read, members_read : dict
        The names, cells and members of classes that were looked up, with what they held.
    parts_read : list of (Outside, str, tuple)
        The steps that were taken inside of globals, cells and members, with the examples of what was found.
    """

    def __init__(self, steps: int = STEPS_MAX) -> None:
        number_anew()
        self.depends = False
        self.hands_over = False  # whether an argument is handed to a library, which would use up a stream
        self.guards: dict[Outside, frozenset[int] | None] = {}
        self.globals_read: dict[tuple[int, str], tuple[dict[str, object], object]] = {}
        self.modules_read: dict[str, object] = {}
        self.cells_read: dict[int, tuple[types.CellType, object]] = {}
        self.members_read: dict[tuple[int, str], tuple[type, object]] = {}
        self.parts_read: list[tuple[Outside, str, tuple[object, ...]]] = []
        self.version = 0  # grows when a site that was already read gets new contents
        self.stack: list[Position] = []
        self._constants: dict[int, Value] = {}  # by identity: each keeps its own alive
        self._made: dict[object, Made] = {}
        self._steps = steps
        self._effects: dict[tuple[str, str, int], Effect] = {}
        self._spots: dict[tuple[str, str, int], set[Spot]] = {}  # the instructions that led to each
        self._looks = Looks()
        self._puts: list[tuple[Outside, tuple[int, ...]]] = []  # into queues, with the ways there
        self.trail: list[tuple[str, str, int]] = []  # the keys of effects, each time that one is met
        self._children: dict[tuple[Outside, str], Value] = {}
        self._frame_keys: dict[tuple[int, int, int], int] = {}
        self._kept: dict[tuple[Origin, str, int], Value] = {}
        self._members: dict[Place, tuple[int, str]] = {}  # places with what stands on classes
        self._supers: dict[tuple[int, Value], Super] = {}
        self._bounds: dict[tuple[int, Value], Bound] = {}
        self._methods: dict[tuple[Place, str], Value] = {}
        self._sites: dict[object, Site] = {}
        self._cells: dict[tuple[int, int], Cell] = {}
        self._globals: dict[tuple[int, str], Value] = {}
        self._captured: dict[int, Value] = {}
        self._noticed: set[Outside] = set()

    @property
    def effects(self) -> tuple[Effect, ...]:
        """The effects found so far; those that threads may not make at once come first."""
        once = {key: self._spots[key] for key, effect in self._effects.items() if effect.kind not in _AT_ANY_TIME}
        torn = self._looks.torn(once)
        found = [replace(effect, atomic=False) if key in torn else effect for key, effect in self._effects.items()]
        return tuple(sorted(found, key=lambda effect: effect.atomic))

    @property
    def steps_left(self) -> int:
        """How many more steps may be spent."""
        return self._steps

    def spend(self, steps: int) -> None:
        """Count steps of reading; raises `Exhausted` when there were too many."""
        self._steps -= steps
        if self._steps < 0:
            raise Exhausted

    # --- writing down ------------------------------------------------------------------------------------------

    def record(
        self, kind: EffectKind, what: str, argument: str | None = None, atomic: bool = False
    ) -> tuple[str, str, int]:
        """Write down an effect at the current line; return its key."""
        file, line = "", 0
        if self.stack:
            frame = self.stack[-1]
            file, line = frame.code.co_filename, line_at(frame.code, frame.offset)
            atomic = atomic or self._guarded()
        key = (what, file, line)
        known = self._effects.get(key)
        if known is None or (known.atomic and not atomic):
            self._effects[key] = Effect(what, file, line, kind, argument, atomic)
        self.meet(key)
        return key

    def draw(self, source: str, method: str = "") -> None:
        """Write down that a call draws from a random generator of others; after a seed, it relies on what it draws."""
        self.record(EffectKind.RANDOM_STATE, f"draws from {source}", atomic=method not in RESEEDING)

    def give_up(self, what: str, code: types.CodeType | None) -> None:
        """Write down that the whole function, which begins there, was not read."""
        file, line = (code.co_filename, code.co_firstlineno) if code is not None else ("", 0)
        key = (what, file, line)
        self._effects[key] = Effect(what, file, line, EffectKind.UNKNOWN)
        self._spots.setdefault(key, set())

    def meet(self, *keys: tuple[str, str, int]) -> None:
        """The instructions under way lead to these effects, too."""
        spots = [self._looks.spot(frame.code, frame.index) for frame in self.stack]
        for key in keys:
            self._spots.setdefault(key, set()).update(spots)
        self.trail += keys

    def _guarded(self) -> bool:
        return any(frame.guarded for frame in self.stack)

    def change(
        self, value: Value, verb: str, kind: EffectKind | None = None, atomic: bool = False, step: str = ALL
    ) -> None:
        """Write down that `value` is changed, wherever it may be something of the outside; if `atomic`, in one step."""
        for place in value:
            if type(place) is Site and place.kept:
                self.record(kind or EffectKind.WRITES_GLOBAL, f"{verb} what {place.kept!r} keeps")
            elif type(place) is Outside and not self._unchangeable(place, kind):
                argument = place.name if place.origin is Origin.ARGUMENT else None
                atomic = atomic or self._is_for_threads(place)
                key = self.record(kind or _KINDS[place.origin], f"{verb} {describe(place)}", argument, atomic)
                if atomic and self.stack and not self._guarded():
                    self._looks.store(key, place, step, self._here())

    def look(self, value: Value, step: str) -> None:
        """Write down that `value` is looked at."""
        if value and self.stack:
            for place in value:
                if type(place) is Outside and is_changeable(place):
                    self._looks.look(place, step, self._here())

    def meet_others(self, place: Outside, gets: bool) -> None:
        """A call puts something into a queue, or gets something: after it has put something, it may get another's."""
        way = tuple([frame.index for frame in self.stack])  # by which it can be told what comes first
        if not self._is_for_threads(place):
            return
        if not gets:
            self._puts.append((place, way))
        elif any(put is place and before < way for put, before in self._puts):
            self.record(_KINDS[place.origin], f"takes from {describe(place)}, where it has put something before")

    def use_built_in(self, name: str) -> None:
        """Write down that a built-in name is used which the program has added."""
        if name not in _BUILT_IN:
            words = f"uses {name!r}, which was added to the built-in names, and a worker process has not"
            self.record(EffectKind.CAPTURES_RESOURCE, words, atomic=True)

    def use_loop(self, name: str) -> None:
        """Write down that the event loop of the thread is used, but by a coroutine, which is run by it."""
        if not any(frame.code.co_flags & _ASYNCHRONOUS for frame in self.stack):
            self.record(EffectKind.CAPTURES_RESOURCE, f"uses the event loop of its thread, with {name}()")

    def note_import(self, name: str) -> None:
        """Write down that a module is imported which the program has made: a worker process finds none."""
        if is_made_up(name):
            words = f"imports the module {name!r}, which was made by the program, and a worker process has not"
            self.record(EffectKind.CAPTURES_RESOURCE, words, atomic=True)

    def is_dropped(self) -> bool:
        """Say whether nothing is made of what the instruction under way gives."""
        return bool(self.stack) and self.stack[-1].drops

    def _here(self) -> Spot:
        return self._looks.spot(self.stack[-1].code, self.stack[-1].index)

    def _unchangeable(self, place: Outside, kind: EffectKind | None) -> bool:
        examples = self.ask(place)
        if examples is None:
            return False
        return all(
            species(type(thing))[0] in (Species.SCALAR, Species.FROZEN)
            or (species(type(thing))[0] is Species.LOGGER and kind is not EffectKind.WRITES_ATTRIBUTE)
            or is_fixed_class(thing)
            or thing is sys.stdout
            or thing is sys.stderr
            for thing in examples
        )

    def _is_for_threads(self, place: Outside) -> bool:
        """Say whether threads meet by means of it: a call may wait there for another, and has no turn to wait in."""
        found = [species(type(thing)) for thing in self.ask(place) or ()]
        return bool(found) and all(kind is Species.RESOURCE and word in _MEETING for kind, word in found)

    def ask(self, place: Outside) -> Examples:
        """Return the examples of a place to decide by, one of each type; of an argument, note that it is relied on."""
        if place.origin is Origin.ARGUMENT:
            self.depends = True
            relied = place
            while "…" in relied.path[:-1] and relied.parent is not None:  # below, all that is there is relied on
                relied = relied.parent
            self.guards.setdefault(relied, signature(relied.examples))
        if place.examples is None or len(place.examples) < 2:
            return place.examples
        return tuple({id(identity(thing)): thing for thing in place.examples}.values())

    def forget(self) -> None:
        """Let go of what was read: sites, cells and functions lead to one another."""
        for site in self._sites.values():
            site.contents, site.attributes, site.fields, site.members = set(), {}, None, None
        for cell in self._cells.values():
            cell.value = cell.written = EMPTY
        for made in self._made.values():
            made.closure, made.defaults, made.keyword_defaults = (), EMPTY, EMPTY

    @staticmethod
    def is_lock(place: Place) -> bool:
        """Say whether a place holds a lock of the outside."""
        return type(place) is Outside and any(
            species(type(thing)) == (Species.RESOURCE, "lock") for thing in place.examples or ()
        )

    # --- places ------------------------------------------------------------------------------------------------

    def site(self, key: object) -> Site:
        """Return the site of `key`, the same one each time."""
        found = self._sites.get(key)
        if found is None:
            found = self._sites[key] = Site()
        return found

    def cell(self, frame: int, index: int) -> Cell:
        """Return the cell of a variable of a frame, the same one each time that the frame is walked."""
        return self._cells.setdefault((frame, index), Cell())

    def made(self, key: object, code: types.CodeType, module: dict[str, object]) -> Made:
        """Return the function made at `key`, the same one each time."""
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = Made(code, module)
        return found

    def put(self, site: Site, value: Value) -> None:
        """Put `value` into the objects of `site`."""
        value = unsure(value) if value and not site.plain else EMPTY
        if not value <= site.contents:
            site.contents |= value
            if site.read:
                self.version += 1

    def throw(self, value: Value) -> None:
        """Note what is raised, but not what holds nothing."""
        self.put(self.site("thrown"), frozenset(filter(_holds_something, value)))

    def thrown(self) -> Value:
        """Return what was raised so far: whatever is caught is one of these."""
        site = self.site("thrown")
        site.read = True
        return frozenset(site.contents)

    def put_attribute(self, site: Site, name: str, value: Value) -> None:
        """Set an attribute of the objects of `site`."""
        known, value = site.attributes.get(name, EMPTY), unsure(value)
        if not value <= known:
            site.attributes[name] = known | value
            if site.read:
                self.version += 1

    def outside(self, origin: Origin, name: str, thing: object) -> Value:
        """Return the value of a root that holds `thing`, which is nothing to worry about if it is a constant."""
        examples = example(thing)
        if origin is not Origin.ARGUMENT and is_scalar(examples):
            return EMPTY
        return frozenset((Outside(origin, name, examples),))

    def constant(self, value: object) -> Value:
        """Return the value of a constant, which is told apart only where it may matter."""
        if type(value) not in (str, bool, types.CodeType, tuple, slice, int, types.EllipsisType):
            return EMPTY
        found = self._constants.get(id(value))
        if found is None:
            found = self._constants[id(value)] = frozenset((Const(value),))
        return found

    def namespace(self, names: dict[str, object]) -> Value:
        """Return the value of the globals of a module as a dict."""
        return self.keeper(Origin.GLOBAL, NAMESPACE, names)

    def frame_key(self, caller: int, index: int, code: types.CodeType) -> int:
        """Return a number for walking `code` from one place of a caller, the same one each time."""
        return self._frame_keys.setdefault((caller, index, id(code)), len(self._frame_keys) + 1)

    def keeper(self, origin: Origin, name: str, thing: object) -> Value:
        """Return the value of `thing`, the same one each time."""
        key = (origin, name, id(thing))
        value = self._kept.get(key)
        if value is None:
            value = self._kept[key] = self.outside(origin, name, thing)
        return value

    def note_member(self, cls: type, name: str, member: object) -> None:
        """Note what a class has under a name, or that it has nothing: it may have something else later."""
        self.members_read.setdefault((id(cls), name), (cls, member))

    def member(self, cls: type, name: str, member: object) -> Value:
        """Return the value of what a class has under a name."""
        self.note_member(cls, name, member)
        value = self.keeper(Origin.GLOBAL, f"{cls.__name__}.{name}", member)
        self._members.update(dict.fromkeys(value, (id(cls), name)))
        return value

    def imported(self, name: str) -> Value:
        """Return the value of a module, which may not be loaded yet."""
        module = loaded(name)
        self.modules_read[name] = module
        self.note_import(name)
        value = self.keeper(Origin.IMPORTED if module is MISSING else Origin.GLOBAL, name, module)
        self.notice(value)
        return value

    def super_of(self, after: type, receiver: Value) -> Super:
        """Return the same `Super` each time."""
        key = (id(after), receiver)
        found = self._supers.get(key)
        if found is None:
            found = self._supers[key] = Super(after, receiver)
        return found

    def bound(self, function: object, receiver: Value) -> Bound:
        """Return the same `Bound` each time."""
        key = (id(function), receiver)
        found = self._bounds.get(key)
        if found is None:
            found = self._bounds[key] = Bound(function, receiver)
        return found

    def look_up(self, module: dict[str, object], builtins: dict[str, object], name: str) -> Value:
        """Return the value of a global or built-in name."""
        key = (id(module), name)
        self._looks.look_up(key, self.stack[-1].code, self.stack[-1].index)
        value = self._globals.get(key)
        if value is None:
            thing = dict.get(module, name, MISSING)
            self.globals_read[key] = (module, thing)
            if thing is MISSING:
                thing = dict.get(builtins, name, MISSING)
                if thing is not MISSING:
                    self.use_built_in(name)
            named = name == "__name__" and type(thing) is str
            value = self.constant(thing) if named else self.outside(Origin.GLOBAL, name, thing)
            self._globals[key] = value
            self.notice(value)
        return value

    def roots(self) -> dict[Place, tuple[int, str] | int]:
        """Return the places that were globals, cells and members of classes, with their keys in what was read."""
        found: dict[Place, tuple[int, str] | int] = {
            place: key for key, value in self._globals.items() for place in value
        }
        found.update({place: cell for cell, value in self._captured.items() for place in value})
        return {**self._members, **found}

    def captured(self, cell: types.CellType, name: str, notice: bool = True) -> Value:
        """Return the value of a closure's cell; unless told not to, notice what it holds."""
        value = self._captured.get(id(cell))
        if value is None:
            try:
                thing = cell.cell_contents
            except ValueError:
                thing = MISSING
            self.cells_read[id(cell)] = (cell, thing)
            value = self._captured[id(cell)] = self.outside(Origin.CAPTURED, name, thing)
        if notice:
            self.notice(value)
        return value

    def notice(self, value: Value) -> None:
        """Write down captured objects that cannot travel, or that are streams of random numbers."""
        for place in value:
            if type(place) is not Outside or place.examples is None or place in self._noticed:
                continue
            self._noticed.add(place)
            for thing in place.examples:
                if is_a(thing, types.ModuleType) and getattr(thing, "__name__", "") == "__main__":
                    self.record(EffectKind.CAPTURES_RESOURCE, f"uses the module '__main__', {OF_MAIN}", atomic=True)
                if thing is sys.stdin:
                    self.record(EffectKind.CAPTURES_RESOURCE, "reads the standard input of this process")
                if thing is sys.stdout or thing is sys.stderr or thing is sys.stdin:
                    continue
                kind, word = species(type(thing))
                if kind is Species.RESOURCE:
                    name = describe(place).replace(place.origin.value, f"the {word}", 1)
                    atomic = word not in _ONE_AT_A_TIME
                    self.record(EffectKind.CAPTURES_RESOURCE, f"captures {name}, which cannot travel", atomic=atomic)
                elif kind is Species.RANDOM:
                    self.draw(f"{describe(place)}, a random generator")

    def child(self, place: Outside, step: str) -> Value:
        """Return the value one step inside an outside place."""
        key = (place, step)
        value = self._children.get(key)
        if value is None:
            above = place.parent
            if place.examples and step[0] != "." and is_scalar(place.examples):
                value = frozenset((place,))
            elif place.step == "…" or (above is not None and above.step == "…"):
                deep = above if above is not None and above.step == "…" else place
                if step[0] == "." and deep is place:
                    # Any of those far inside: more than there can be, for one has such an attribute, and others none.
                    value = frozenset((Outside(place.origin, place.name, place.examples, place, step),))
                else:
                    value = self.child(deep, step) if step[0] == "." else frozenset((deep,))
            elif len(place.path) >= PATH_MAX:
                value = self.child(self._deep(place), step)
            else:
                if place.origin is Origin.ARGUMENT:
                    examples = follow(place.examples, step)
                else:
                    examples = None if step == "…" else follow_in_tables(place.examples, step)
                    if examples is not None:
                        self.parts_read.append((place, step, examples))
                if place.origin is not Origin.ARGUMENT and is_scalar(examples):
                    value = EMPTY
                else:
                    value = frozenset((Outside(place.origin, place.name, examples, place, step),))
            self._children[key] = value
        if place.origin is not Origin.ARGUMENT:
            self.notice(value)
        return value

    def inside(self, value: Value, step: str = "[]") -> Value:
        """Return what is found inside `value`: its elements, items or parts."""
        found: set[Place] = set()
        for place in value:
            if type(place) is Outside:
                found |= self.child(place, step)
            elif type(place) is Site:
                place.read = True
                found |= place.contents
                for attribute in place.attributes.values():
                    found |= attribute
        return self.narrow(frozenset(found)) if found else EMPTY

    def narrow(self, value: Value) -> Value:
        """Return a coarser value instead of one with very many places: "something of the argument 'x'"."""
        if len(value) <= PLACES_MAX:
            return value
        self.spend(len(value) >> 2)
        return frozenset(
            [
                self._deep(place) if type(place) is Outside and place.step != "…" and not looks_known(place) else place
                for place in value
            ]
        )

    def _deep(self, place: Outside) -> Outside:
        """Return the place that stands for everything far inside the root of `place`."""
        root = place
        while root.parent is not None:
            root = root.parent
        for deep in self.child(root, "…"):
            if type(deep) is Outside:
                return deep
        return root

    def reach(self, value: Value) -> Value:
        """Return `value` and what is one step inside it."""
        return value | self.inside(value) if value else EMPTY

    def method(self, owner: Place, name: str) -> Value:
        """Return the value of an attribute of something made during the call."""
        key = (owner, name)
        found = self._methods.get(key)
        if found is None:
            found = self._methods[key] = frozenset((Method(owner, name),))
        return found

    def uses_up(self, value: Value) -> None:
        """Write down that iterating over `value` uses up what is an iterator."""
        for place in value:
            if type(place) is Outside:
                for thing in self.ask(place) or ():
                    if is_iterator_type(type(thing)) and not is_a(thing, type):
                        self.change(frozenset((place,)), "takes from")


def looks_known(place: Outside) -> bool:
    """Say whether what a place holds is a function, class or module, of which the name matters."""
    return place.examples is not None and any(identity(thing) is thing for thing in place.examples)


def _holds_something(place: Place) -> bool:
    """Say whether an exception may hold what others have, or is an object that they have; a class makes a new one."""
    if type(place) is Outside:
        return not place.examples or not all(is_a(thing, type) for thing in place.examples)
    return type(place) is not Site or bool(place.contents or place.attributes or place.made_by)


#: What changes nothing that somebody else could look at.
#: Captured objects that are made for threads to meet.
_MEETING: Final = ("lock", "event", "condition", "semaphore", "barrier", "queue", "future", "executor")
_OWN_MODULES: Final = ("builtins", "io", "_io", "_sitebuiltins")
#: The built-in names, but those that a program adds, as ``gettext.install()`` does.
_BUILT_IN: Final = frozenset(
    [
        *(name for name, thing in vars(builtins).items() if getattr(thing, "__module__", "") in _OWN_MODULES),
        *("__build_class__", "__import__", "__debug__", "__name__", "__doc__", "__package__", "__loader__", "__spec__"),
        *("None", "True", "False", "Ellipsis", "NotImplemented"),
    ]
)
#: What a worker has of the script are the functions and classes that were sent to it, and what these name.
OF_MAIN: Final = "of which a worker process has only what functions name"
#: Captured objects of which a call may rely on what it did with them before.
_ONE_AT_A_TIME: Final = (
    *("generator", "iterator", "coroutine", "thread-local", "event loop", "child process", "pipe", "socket"),
    *("connection", "database cursor"),
)
_ASYNCHRONOUS: Final = 0x280  # coroutine, asynchronous generator
_AT_ANY_TIME: Final = (EffectKind.CAPTURES_RESOURCE, EffectKind.RANDOM_STATE, EffectKind.DIFFERS)
_KINDS: Final = {
    Origin.ARGUMENT: EffectKind.MUTATES_ARGUMENT,
    Origin.GLOBAL: EffectKind.WRITES_GLOBAL,
    Origin.CAPTURED: EffectKind.MUTATES_CAPTURED,
    Origin.IMPORTED: EffectKind.WRITES_GLOBAL,
    Origin.DEFAULT: EffectKind.MUTATES_CAPTURED,
    Origin.NOWHERE: EffectKind.UNKNOWN,
}

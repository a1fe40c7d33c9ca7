"""Keeps where a function looks at what it also writes, for threads may write between the look and the store."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

from parallel_deco.routing.known import Species, is_data, species
from parallel_deco.routing.lookup import instance_namespace, is_a, mro, type_name
from parallel_deco.routing.memo import is_memo
from parallel_deco.routing.values import EMPTY, Outside, Value, is_scalar

__all__ = ["ALL", "DEEP", "NAMESPACE", "Looks", "Spot", "is_changeable", "item_step"]

ALL: Final = "[]"  # any item, or how many there are
DEEP: Final = "…"  # all of it, and what is in it
NAMESPACE: Final = "globals()"  # the name of the place that is what it gives


class Spot(NamedTuple):
    """An instruction under way, by the identity of its code."""

    code: int
    at: int


#: What was written down: what, file, line.
_Key: TypeAlias = tuple[str, str, int]


class _Store(NamedTuple):
    effect: _Key
    place: Outside
    step: str
    spot: Spot


def item_step(key: Value) -> str:
    """Return the step to the item under `key`: a name of its own where it is a known text or number."""
    for place in key if len(key) == 1 else EMPTY:
        value = getattr(place, "value", None)
        if type(value) is str or (type(value) is int and value >= 0):
            return f"[{value!r}]"
    return ALL


class _Look(NamedTuple):
    things: set[int]
    step: str
    spots: set[Spot]


class Looks:
    """What was looked at where, and what was stored in one step, which is safe only if nothing was looked at before."""

    def __init__(self) -> None:
        self._at: dict[tuple[Outside, str], set[Spot]] = {}
        self._names: list[tuple[tuple[int, str], types.CodeType, int]] = []  # globals, by their namespace's identity
        self._stores: dict[_Store, None] = {}  # in their order
        self._codes: dict[int, types.CodeType] = {}
        self._memos: dict[tuple[Spot, frozenset[Spot], frozenset[int]], bool] = {}  # what `is_memo` said

    def spot(self, code: types.CodeType, index: int) -> Spot:
        """Return the spot of an instruction."""
        self._codes[id(code)] = code
        return Spot(id(code), index)

    def look(self, place: Outside, step: str, spot: Spot) -> None:
        """Note that `place` is looked at: one item or attribute, all items, or all of it."""
        self._at.setdefault((place, step), set()).add(spot)

    def look_up(self, key: tuple[int, str], code: types.CodeType, index: int) -> None:
        """Note that a global is looked up: the identity of its namespace, and its name."""
        self._names.append((key, code, index))

    def store(self, effect: _Key, place: Outside, step: str, spot: Spot) -> None:
        """Note a store in one step; `effect` names what was written down of it."""
        self._stores[_Store(effect, place, step, spot)] = None

    def torn(self, others: dict[_Key, set[Spot]]) -> set[_Key]:
        """Return the effects that threads may not make at once, as the same is looked at elsewhere.

        Parameters
        ----------
        others : dict
            All effects that may not happen once more or once less, each with the instructions that led to it.
        """
        if not self._stores:
            return set()
        found = list(self._found())
        contended = [(store, looks) for store in self._stores if (looks := _looks_at(store, found))]
        doubtful = {store.effect for store, _ in contended}
        return {store.effect for store, looks in contended if not self._is_memo(store, looks, doubtful, others)}

    def _found(self) -> Iterator[_Look]:
        for (place, step), spots in self._at.items():
            place, step = _aim(place, step)
            yield _Look(_things(place) | (_classes(place) if step[0] == "." else set()), step, spots)
        names: dict[tuple[int, str], set[Spot]] = {}
        for key, code, index in self._names:
            names.setdefault(key, set()).add(self.spot(code, index))
        for (namespace, name), spots in names.items():
            yield _Look({namespace}, f".{name}", spots)

    def _is_memo(self, store: _Store, looks: set[Spot], doubtful: set[_Key], others: dict[_Key, set[Spot]]) -> bool:
        code = store.spot.code
        if any(spot.code != code for spot in looks):
            return False
        things = _things(store.place)
        for other in self._stores:
            step = other.place.parent
            while step is not None:
                if not things.isdisjoint(_things(step)):  # what is kept is changed
                    return False
                step = step.parent
        blocking = {
            spot.at for effect, spots in others.items() if effect not in doubtful for spot in spots if spot.code == code
        }
        key = (store.spot, frozenset(looks), frozenset(blocking))
        if key not in self._memos:
            self._memos[key] = is_memo(self._codes[code], {spot.at for spot in looks}, store.spot.at, blocking)
        return self._memos[key]


def _looks_at(store: _Store, looks: list[_Look]) -> set[Spot]:
    """Return where the same is looked at that is stored, or all of what it is in."""
    place, step = _aim(store.place, store.step)
    own = _things(place)
    above: set[int] = set(own)
    around: Outside | None = store.place
    while around is not None:
        above |= _things(around)
        around = around.parent
    found: set[Spot] = set()
    for look in looks:
        deep = look.step == DEEP
        if not look.things.isdisjoint(above if deep else own) and (deep or _meet(look.step, step)):
            found |= look.spots
    return found


def _aim(place: Outside, step: str) -> tuple[Outside, str]:
    """Return what a step leads to if it is the same as another: a name in a namespace, any item of viewed memory."""
    if step[0] == ".":
        return place, step
    if place.step == ".__dict__" and place.parent is not None:
        return place.parent, _as_name(step)
    if place.parent is None and place.name == NAMESPACE:
        return place, _as_name(step)
    root = place
    while root.examples is None and root.parent is not None:
        root = root.parent
    if not _holds_data(root):
        return place, step
    if root is place and not _holds_data(place.parent) and not any(map(_shares, place.examples or ())):
        return place, step
    return root, DEEP if step == DEEP else ALL


def _holds_data(place: Outside | None) -> bool:
    examples = place.examples if place is not None else None
    return bool(examples) and all(is_data(type(thing)) for thing in examples or ())


def _as_name(step: str) -> str:
    """Return the attribute that is an item of a namespace."""
    return ".*" if step == ALL else f".{step[2:-2]}" if step[1:2] in ("'", '"') else step


def _meet(one: str, other: str) -> bool:
    if one[-1] == "*":  # an attribute whose name is not known, but what it begins with
        return other.startswith(one[:-1])
    if other == ".*":
        return one[0] == "."
    return one == other or (ALL in (one, other) and one[0] == other[0] == "[")


def _things(place: Outside) -> set[int]:
    """Return what tells that two places may be the same: the objects that they hold, as far as these are known."""
    found = {id(place)}
    for thing in place.examples or ():
        if species(type(thing))[0] is not Species.SCALAR:
            found.add(id(thing))
            found.update(_shares(thing))
    return found


def _classes(place: Outside) -> set[int]:
    """Return the classes in which an attribute may be found."""
    plain = [thing for thing in place.examples or () if species(type(thing))[0] is Species.PLAIN or is_a(thing, type)]
    return {id(cls) for thing in plain for cls in mro(thing if is_a(thing, type) else type(thing))}


def _shares(thing: object) -> tuple[int, ...]:
    """Return the identity of what is also there under another name: a module's globals, the memory of a view."""
    if is_a(thing, types.ModuleType):
        return (id(instance_namespace(thing)),)
    if type_name(type(thing)) == "numpy.ndarray" and thing.base is not None:  # type: ignore[attr-defined]
        return (id(thing.base),)  # type: ignore[attr-defined]  # that of the first array, always
    return ()


def is_changeable(place: Outside) -> bool:
    """Say whether a place may be written to by anybody, and does not guard itself."""
    return not is_scalar(place.examples) and not any(map(_guards_itself, place.examples or ()))


def _guards_itself(thing: object) -> bool:
    return species(type(thing))[0] is Species.RESOURCE

"""Keeps where a function looks at what it also writes, for threads may write between the look and the store."""

from __future__ import annotations

import types
from typing import Final, NamedTuple, TypeAlias

from parallel_deco.routing.known import Species, species
from parallel_deco.routing.memo import is_memo
from parallel_deco.routing.values import EMPTY, Outside, Value, is_scalar

__all__ = ["ALL", "DEEP", "Looks", "Spot", "is_changeable", "item_step"]

ALL: Final = "[]"  # any item, or how many there are
DEEP: Final = "…"  # all of it, and what is in it


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


class Looks:
    """What was looked at where, and what was stored in one step, which is safe only if nothing was looked at before."""

    def __init__(self) -> None:
        self._at: dict[tuple[Outside, str], set[Spot]] = {}
        self._stores: list[_Store] = []
        self._codes: dict[int, types.CodeType] = {}

    def spot(self, code: types.CodeType, index: int) -> Spot:
        """Return the spot of an instruction."""
        self._codes[id(code)] = code
        return Spot(id(code), index)

    def look(self, place: Outside, step: str, spot: Spot) -> None:
        """Note that `place` is looked at: one item or attribute, all items, or all of it."""
        self._at.setdefault((place, step), set()).add(spot)

    def store(self, effect: _Key, place: Outside, step: str, spot: Spot) -> None:
        """Note a store in one step; `effect` names what was written down of it."""
        self._stores.append(_Store(effect, place, step, spot))

    def torn(self, others: dict[_Key, set[Spot]]) -> set[_Key]:
        """Return the effects that threads may not make at once, as the same is looked at elsewhere.

        Parameters
        ----------
        others : dict
            All effects that may not happen once more or once less, each with the instructions that led to it.
        """
        contended = [(store, looks) for store in self._stores if (looks := self._looks_at(store))]
        doubtful = {store.effect for store, _ in contended}
        return {store.effect for store, looks in contended if not self._is_memo(store, looks, doubtful, others)}

    def _looks_at(self, store: _Store) -> set[Spot]:
        above, step = _things(store.place), store.place.parent
        while step is not None:
            above |= _things(step)
            step = step.parent
        found: set[Spot] = set()
        for (place, what), spots in self._at.items():
            if what == DEEP:
                if not above.isdisjoint(_things(place)):
                    found |= spots
            elif _meet(what, store.step) and not _things(store.place).isdisjoint(_things(place)):
                found |= spots
        return found

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
        return is_memo(self._codes[code], {spot.at for spot in looks}, store.spot.at, blocking)


def _meet(one: str, other: str) -> bool:
    if one[-1] == "*":  # an attribute whose name is not known, but what it begins with
        return other.startswith(one[:-1])
    return one == other or (ALL in (one, other) and one[0] == other[0] == "[")


def _things(place: Outside) -> set[int]:
    """Return what tells that two places may be the same: the objects that they hold, as far as these are known."""
    return {id(place), *(id(thing) for thing in place.examples or () if species(type(thing))[0] is not Species.SCALAR)}


def is_changeable(place: Outside) -> bool:
    """Say whether a place may be written to by anybody, and does not guard itself."""
    return not is_scalar(place.examples) and not any(map(_guards_itself, place.examples or ()))


def _guards_itself(thing: object) -> bool:
    return species(type(thing))[0] is Species.RESOURCE

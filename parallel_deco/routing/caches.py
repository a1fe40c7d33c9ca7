"""Knows of what a cache gives that it gives it again: what one call has made is of the outside for the next."""

from __future__ import annotations

import functools
from typing import Final

from parallel_deco.routing.known import Species, species
from parallel_deco.routing.ledger import Ledger
from parallel_deco.routing.lookup import is_any
from parallel_deco.routing.values import Place, Site, Value

__all__ = ["draws_from_kept", "is_cache", "kept"]

_CACHES: Final = (functools._lru_cache_wrapper, functools.cached_property)


def is_cache(thing: object) -> bool:
    """Say whether a wrapper keeps what the function inside has returned."""
    return is_any(thing, _CACHES)


def kept(ledger: Ledger, value: Value, name: str) -> Value:
    """Return `value` as what is kept under `name`: the same, but that a change of it is an effect."""
    seen: dict[Site, Site] = {}
    return frozenset([_kept(ledger, place, name, seen) for place in value])


def _kept(ledger: Ledger, place: Place, name: str, seen: dict[Site, Site]) -> Place:
    """The objects were not kept yet when their maker filled them, so what is kept has a site of its own."""
    if type(place) is not Site or place.kept:
        return place
    if place in seen:
        return seen[place]
    twin = seen[place] = ledger.site(("kept", place, name))
    place.read = True
    twin.kept = name
    twin.made_by = place.made_by
    twin.cls, twin.members, twin.opaque, twin.mutable = place.cls, place.members, place.opaque, place.mutable
    ledger.put(twin, frozenset([_kept(ledger, inner, name, seen) for inner in list(place.contents)]))
    for attribute, value in place.attributes.items():
        ledger.put_attribute(twin, attribute, frozenset([_kept(ledger, inner, name, seen) for inner in value]))
    if place.fields is not None:
        twin.fields = [frozenset([_kept(ledger, inner, name, seen) for inner in field]) for field in place.fields]
    return twin


def draws_from_kept(ledger: Ledger, site: Site) -> None:
    """A method is called of what may be a random generator that is kept."""
    if site.kept and site.cls is not None and species(site.cls)[0] is Species.RANDOM:
        ledger.draw(f"a random generator that {site.kept!r} keeps")

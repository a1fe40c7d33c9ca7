"""Guesses from names and shapes what a function will spend its time on."""
from __future__ import annotations
import enum
from dataclasses import dataclass

class Nature(enum.Enum):
    WAITS = "waits"
    GIL_FREE = "gil-free"
    GIL_HELD = "gil-held"
    TINY = "tiny"
    UNKNOWN = "unknown"

@dataclass(frozen=True, slots=True)
class Prior:
    nature: Nature
    confidence: float
    because: str

def guess(subject: object) -> Prior:
    return Prior(Nature.UNKNOWN, 0.0, "")

from typing import SupportsIndex

__all__ = ["count_primes"]

def count_primes(start: SupportsIndex, stop: SupportsIndex) -> int: ...

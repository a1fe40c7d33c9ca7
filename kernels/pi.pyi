from typing import SupportsIndex

__all__ = ["monte_carlo_pi"]

def monte_carlo_pi(samples: SupportsIndex, seed: SupportsIndex) -> float: ...

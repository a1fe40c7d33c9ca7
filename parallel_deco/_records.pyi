from typing import Generic as Generic
from typing import NamedTuple as NamedTuple

__all__ = ["Generic", "NamedTuple"]

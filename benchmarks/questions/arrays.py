"""How fast does an array of 64 MB get to a worker, and back?"""

import numpy as np

from ..contest import Entry, Group, Limit, submits
from ..limits import copy
from ..work import LARGE, block, length

__all__ = ["GROUPS"]


def there(pool):
    """Send a large argument."""
    array = np.ones(LARGE)
    return lambda: pool.submit(length, array)()


def back(pool):
    """Get a large result."""
    return lambda: pool.submit(block, LARGE)()


LIMIT = Limit("`numpy.copyto` of 64 MB", lambda medians: medians.get("copy"))
GROUPS = [
    Group(
        "array_argument",
        "How long does a call take whose argument is an array of 64 MB?",
        submits(there),
        limit=LIMIT,
        measured=[Entry("copy", copy)],
        notes="Threads copy nothing; neither does `parallel_deco`, which leaves it in a thread.",
    ),
    Group(
        "array_result",
        "How long does a call take whose result is an array of 64 MB that is there already?",
        submits(back),
        limit=LIMIT,
        measured=[Entry("copy", copy)],
        notes="Threads copy nothing; neither does `parallel_deco`, which leaves it in a thread.",
    ),
]

"""What is said between the pool, its workers and the template: the kinds of messages."""

import struct

__all__ = [
    "DEFINE",
    "DONE",
    "ECHO",
    "EXIT",
    "FAILED",
    "FORK",
    "HELLO",
    "KILL",
    "MESSAGE",
    "PART",
    "RUN",
    "RUN_UNTIMED",
    "SURROUNDINGS",
]

# Between the pool and the template: verb, a worker's number, its wait status.
MESSAGE = struct.Struct("<iii")
FORK, KILL, EXIT = 1, 2, 3

# To a worker.
SURROUNDINGS = 1  #: the caller's state, for `surroundings.apply`
DEFINE = 2  #: (key, keys to forget), then the function's own pickle
RUN = 3  #: a batch
RUN_UNTIMED = 4  #: a batch that is not to be measured

# From a worker.
HELLO = 11  #: its process id: it is ready
PART = 12  #: outcomes of the batch that is running, as far as they are there
DONE = 13  #: the rest of the outcomes, and the readings
FAILED = 14  #: the batch could not be unpickled; nothing of it ran
ECHO = 15  #: a log record, a warning, or text for a standard stream

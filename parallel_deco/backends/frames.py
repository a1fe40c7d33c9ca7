"""The kinds of frames between the pool and a worker."""

__all__ = ["DEFINE", "DONE", "ECHO", "FAILED", "HELLO", "PART", "RUN", "SURROUNDINGS"]

# To a worker.
SURROUNDINGS = 1  #: the caller's state, for `surroundings.apply`
DEFINE = 2  #: (key, keys to forget), then the function's own pickle
RUN = 3  #: a batch

# From a worker.
HELLO = 11  #: its process id: it is ready
PART = 12  #: outcomes of the batch that is running, as far as they are there
DONE = 13  #: the rest of the outcomes, and the readings
FAILED = 14  #: the batch could not be unpickled; nothing of it ran
ECHO = 15  #: a log record, a warning, or text for a standard stream

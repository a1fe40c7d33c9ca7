"""What no library can beat on this machine, measured: the round trip over a socket to a process, and a plain copy."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .work import LARGE

__all__ = ["copy", "pipe"]


@contextmanager
def pipe() -> Iterator[Callable[[], Any]]:
    """Send a byte to a process that sends it back, and wait for it: no pickle, no threads, no bookkeeping."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if not child:
        ours.close()
        while message := theirs.recv(64):
            theirs.send(message)
        os._exit(0)
    theirs.close()

    def once() -> bytes:
        ours.send(b"x")
        return ours.recv(64)

    with ours:
        yield once
    os.waitpid(child, 0)


@contextmanager
def copy() -> Iterator[Callable[[], Any]]:
    """Copy 64 MB from memory to memory that was used before."""
    source, target = np.ones(LARGE), np.ones(LARGE)
    yield lambda: np.copyto(target, source)

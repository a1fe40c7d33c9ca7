"""Sockets between processes of ours, which wait for as long as it takes, whatever timeout the program has for its own.

`socket.setdefaulttimeout` makes each new socket one that does not block: for whoever has its other end or a copy too.
"""

try:
    import _socket  # `socket` takes 10 ms to import; this is what it wraps
except ImportError:  # pragma: no cover - Windows: `launch.unavailable` says so
    pass

__all__ = ["pair", "taken"]


def pair() -> "tuple[_socket.socket, _socket.socket]":
    """Return two connected sockets.

    Raises
    ------
    OSError
        No descriptors are left.
    """
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
    ours.settimeout(None)
    theirs.settimeout(None)
    return ours, theirs


def taken(descriptor: int) -> "_socket.socket":
    """Return the socket of a descriptor that came from another process: a `sitecustomize` may set timeouts too."""
    socket = _socket.socket(fileno=descriptor)
    socket.settimeout(None)
    return socket

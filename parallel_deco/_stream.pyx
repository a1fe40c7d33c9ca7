# cython: language_level=3, wraparound=False, cdivision=True, freethreading_compatible=True
"""Frames over a stream socket, as far as they are heads and pickles: cut, read and written without the GIL."""

from cpython.buffer cimport PyBUF_CONTIG, PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.string cimport memcpy, memmove

cdef extern from "_stream.h" nogil:
    ctypedef struct pd_head:
        unsigned long long size
        unsigned int kind
        unsigned int count
        double seconds
    enum: PD_RIGHTS
    Py_ssize_t pd_send(int descriptor, const pd_head *head, const void *body, size_t size, size_t sent)
    Py_ssize_t pd_receive(int descriptor, void *buffer, size_t size, int *rights, int *count)

cdef extern from "errno.h" nogil:
    int errno
    int EINTR

cdef extern from "Python.h":
    int PyErr_CheckSignals() except -1
    object PyErr_SetFromErrno(object kind)

#: One read takes a whole small frame.
cdef enum:
    CHUNK = 64 * 1024


cdef class Frame:
    """What came in one piece.

    Attributes
    ----------
    kind : int
    body : bytes-like or None
        The pickle; None as long as it has yet to be read, as that of a large frame.
    buffers : sequence of buffers
        What the pickle refers to out of band.
    seconds : float
        How long the sender took for pickling and copying.
    to_come : tuple of int
        Bytes of the pickle, and number of buffers.
    """

    cdef readonly unsigned int kind
    cdef public object body
    cdef public object buffers
    cdef readonly double seconds
    cdef readonly tuple to_come

    @property
    def size(self):
        """Bytes of the pickle and its buffers."""
        return len(self.body) + sum([len(buffer) for buffer in self.buffers])


cdef class Stream:
    """One end of a stream socket.

    Parameters
    ----------
    socket : _socket.socket
        That blocks. It is the owner's, who closes it when nobody uses the stream.

    Attributes
    ----------
    descriptors : list of int
        That came along and were not taken yet; -1 for one that was lost on its way.

    Notes
    -----
    One thread may read while another writes. 1 us and the system's call for a frame, where `socket.sendmsg` and
    `socket.recvmsg` take 3 us more each.
    """

    cdef object _fileno
    cdef char *_bytes
    cdef Py_ssize_t _start, _stop
    cdef readonly list descriptors

    def __cinit__(self, socket not None):
        self._fileno = socket.fileno
        self._bytes = <char *> PyMem_Malloc(CHUNK)
        if self._bytes is NULL:
            raise MemoryError
        self.descriptors = []

    def __dealloc__(self):
        PyMem_Free(self._bytes)

    @property
    def pending(self):
        """Whether something was read that has not been taken."""
        return self._start < self._stop

    def write(self, unsigned int kind, body not None, double seconds):
        """Write a frame without large buffers whole; blocks while the socket is full.

        Raises
        ------
        OSError
            The other end is gone.
        """
        cdef Py_buffer view
        cdef pd_head head
        cdef int descriptor
        cdef Py_ssize_t sent = 0, some
        PyObject_GetBuffer(body, &view, PyBUF_SIMPLE)
        try:
            head = pd_head(view.len, kind, 0, seconds)
            while sent < <Py_ssize_t> sizeof(head) + view.len:
                descriptor = self._fileno()  # each time: a signal's handler may have forked, and closed it in the child
                with nogil:
                    some = pd_send(descriptor, &head, view.buf, view.len, sent)
                if some < 0:
                    interrupted()
                    continue
                sent += some
                if sent < <Py_ssize_t> sizeof(head) + view.len:
                    PyErr_CheckSignals()  # one that came when some was sent has had no other effect
        finally:
            PyBuffer_Release(&view)

    def read(self):
        """Wait for a frame, and return it; the pickle of a large one, or of one with buffers, is left to be read.

        Returns
        -------
        Frame or None
            None at the end of the stream.
        """
        cdef Frame frame
        cdef pd_head head
        if not self._have(sizeof(head)):
            return None
        memcpy(&head, self._bytes + self._start, sizeof(head))
        self._start += sizeof(head)
        frame = Frame.__new__(Frame)
        frame.kind = head.kind
        frame.seconds = head.seconds
        frame.buffers = ()
        if head.count == 0 and head.size <= <unsigned long long> (self._stop - self._start):
            frame.body = PyBytes_FromStringAndSize(self._bytes + self._start, <Py_ssize_t> head.size)
            self._start += <Py_ssize_t> head.size
        else:
            frame.to_come = head.size, head.count
        return frame

    def fill(self, target not None):
        """Read until a writable buffer is full; return whether there was so much."""
        cdef Py_buffer view
        cdef Py_ssize_t done
        cdef Py_ssize_t some
        PyObject_GetBuffer(target, &view, PyBUF_CONTIG)
        try:
            done = min(view.len, self._stop - self._start)
            memcpy(view.buf, self._bytes + self._start, done)
            self._start += done
            while done < view.len:
                some = self._receive(<char *> view.buf + done, view.len - done)
                if some == 0:
                    return False
                done += some
            return True
        finally:
            PyBuffer_Release(&view)

    cdef bint _have(self, Py_ssize_t size) except -1:
        """Read until there is so much, if not more; false at the end of the stream."""
        cdef Py_ssize_t some
        while self._stop - self._start < size:
            if self._start:
                memmove(self._bytes, self._bytes + self._start, self._stop - self._start)
                self._stop -= self._start
                self._start = 0
            some = self._receive(self._bytes + self._stop, CHUNK - self._stop)
            if some == 0:
                return False
            self._stop += some
        return True

    cdef Py_ssize_t _receive(self, char *target, Py_ssize_t size) except -1:
        cdef int rights[PD_RIGHTS]
        cdef int count = 0, at
        cdef int descriptor
        cdef Py_ssize_t some
        while True:
            descriptor = self._fileno()
            with nogil:
                some = pd_receive(descriptor, target, size, rights, &count)
            for at in range(count):
                self.descriptors.append(rights[at])
            if some >= 0:
                return some
            interrupted()


cdef int interrupted() except -1:
    """Raise what a system call failed with; where it was a signal, what its handler raises, if anything."""
    if errno != EINTR:
        PyErr_SetFromErrno(OSError)
    return PyErr_CheckSignals()

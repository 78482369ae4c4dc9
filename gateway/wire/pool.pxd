cimport cython
from gateway.wire.upstream_connection cimport UpstreamConnection


cdef class Pool:
    cdef public object address, authority, connecting, connections, host, limits, port
    cdef public bint closed, is_unix
    cdef public dict queue
    cdef public list idle

    @cython.locals(connection=UpstreamConnection)
    cpdef take(self, receiver, now, fresh=*)
    cpdef release(self, UpstreamConnection connection)
    cpdef waits(self, receiver)

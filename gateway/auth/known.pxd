cimport cython
from gateway.auth.decisions cimport fingerprint
from gateway.exchange cimport Exchange
from gateway.telemetry.metrics cimport Counter
from gateway.wire.head cimport Head


cdef class KnownTokens:
    cdef public object _now
    cdef public Counter _allowed
    cdef public dict _young

    @cython.locals(entry=tuple, headers=Head, until=double)
    cpdef bint let_in(self, Exchange exchange)


cdef class KnownVerdicts:
    cdef public object _by, _credentials, _now
    cdef public Counter _allowed
    cdef public dict _young
    cdef public bint _whole

    @cython.locals(headers=Head)
    cpdef key(self, Exchange exchange)
    @cython.locals(entry=tuple, headers=Head, until=double)
    cpdef bint let_in(self, Exchange exchange)

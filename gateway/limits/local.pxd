cimport cython
from gateway.exchange cimport Exchange
from gateway.telemetry.metrics cimport Counter


cdef class SingleGate:
    cdef public object _allowed, _cost, _key_of, _now, _verdicts
    cdef public double _most, _step, _units
    cdef public bint _replaces, _tells
    cdef public dict _ready

    cpdef _fields(self, long remaining, double room)


cdef class LocalGate(SingleGate):
    cdef public object _limiter
    cdef public dict _young

    @cython.locals(counter=Counter, now=double, remaining=long, room=double, tat=double)
    cpdef on_request(self, Exchange exchange)

cimport cython
from gateway.exchange cimport Exchange
from gateway.limits.local cimport SingleGate
from gateway.telemetry.metrics cimport Counter


cdef class BoardGate(SingleGate):
    cdef public object _find, _first, _limiter, _marks, _slots, _tats
    cdef public dict _young

    @cython.locals(ahead=double, counter=Counter, now=double, remaining=long, room=double, step=double)
    cpdef on_request(self, Exchange exchange)

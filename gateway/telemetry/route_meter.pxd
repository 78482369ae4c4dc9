cimport cython
from gateway.exchange cimport Exchange
from gateway.telemetry.metrics cimport Counter, Histogram
from gateway.telemetry.traffic cimport Traffic


cdef class RouteMeter:
    cdef public Counter _counter
    cdef public Histogram _durations, _overheads
    cdef public Traffic _traffic
    cdef public bint _bad

    @cython.locals(now=double, seconds=double, waited=double)
    cpdef count(self, Exchange exchange)


cpdef tuple meter_key(Exchange exchange)

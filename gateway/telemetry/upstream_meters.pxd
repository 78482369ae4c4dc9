cimport cython
from gateway.telemetry.metrics cimport Counter, Histogram


cdef class UpstreamMeters:
    cdef public object _copies, _ejections, _hedges, _mirrored, _passed, _passed_bytes, _requests, _retries, _shed
    cdef public object name
    cdef public Histogram duration
    cdef public dict _codes

    @cython.locals(counter=Counter)
    cpdef attempted(self, status, double seconds)

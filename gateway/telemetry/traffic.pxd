cimport cython
from gateway.telemetry.window cimport RateWindow


cdef class Traffic:
    cdef public RateWindow window
    cdef public double longest, longest_wait, seconds, waited
    cdef public long calls, errors

    @cython.locals(window=RateWindow)
    cpdef add(self, double now, double seconds, failed, double waited=*)

cdef class RateWindow:
    cdef public double until
    cdef public list counts
    cdef public long _current, place

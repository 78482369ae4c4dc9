cdef class Counter:
    cdef public object value


cdef class Gauge:
    cdef public object merge, value


cdef class Histogram:
    cdef public object buckets, sum
    cdef public list counts

    cpdef observe(self, double value)

cimport cython


cdef class Counter:
    cdef public object value


cdef class Gauge:
    cdef public object merge, value


cdef class Histogram:
    cdef public tuple buckets
    cdef public list counts
    cdef public double sum

    @cython.locals(bound=double, place=Py_ssize_t)
    cpdef observe(self, double value)

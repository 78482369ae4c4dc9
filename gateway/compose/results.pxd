cdef class Result:
    cdef public object raw, state, value
    cdef public double seconds

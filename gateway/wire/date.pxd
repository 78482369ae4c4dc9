cdef class Date:
    cdef public object _line, _second

    cpdef line(self)

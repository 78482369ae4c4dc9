cimport cython


cdef class Date:
    cdef public bytes _line
    cdef public long _second

    @cython.locals(second=long)
    cpdef bytes line(self)

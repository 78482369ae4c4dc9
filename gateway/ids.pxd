cimport cython


cdef class Digits:
    cdef public str _left
    cdef public Py_ssize_t _at

    @cython.locals(at=Py_ssize_t, end=Py_ssize_t)
    cpdef str take(self, Py_ssize_t count)

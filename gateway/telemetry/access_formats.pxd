cimport cython
from gateway.exchange cimport Exchange


cdef class EcsFormat:
    cdef public object _redactor, _service
    cdef public dict _blocks

    @cython.locals(started=double, second=long, millisecond=long, taken=long, away=long, own=long)
    cpdef str line(self, Exchange exchange, double offset)

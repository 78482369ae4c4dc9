cimport cython
from gateway.wire.framing cimport BodyPieces
from gateway.wire.head cimport ResponseBlock, ResponseHead


cdef class ResponseParser(BodyPieces):
    cdef public object _framing, _head_limit, _interim_size, _map, _open, _parser, _remaining, _seen, _sink, interim
    cdef public ResponseHead head
    cdef public bint _bodyless, complete, surplus

    cpdef next(self, bodyless)
    @cython.locals(head=ResponseHead, block=ResponseBlock)
    cpdef feed(self, bytes data)
    cpdef _take_known(self, ResponseBlock block, bytes data, Py_ssize_t end)
    cpdef _count(self, bytes data)

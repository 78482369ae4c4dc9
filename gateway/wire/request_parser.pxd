cimport cython
from gateway.wire.framing cimport BodyPieces
from gateway.wire.head cimport RequestBlock, RequestHead
from gateway.wire.shapes cimport HeaderPolicy


cdef class RequestParser(BodyPieces):
    cdef public object _fields, _fields_limit, _framing, _head_limit, _map, _open, _parser, _remaining, _seen
    cdef public object _targets, body_limit, chunked_limit, received, rest
    cdef public HeaderPolicy _policy
    cdef public RequestHead head
    cdef public bint complete

    @cython.locals(policy=HeaderPolicy, block=RequestBlock)
    cpdef RequestHead read_known(self, bytes data)
    cpdef next(self)

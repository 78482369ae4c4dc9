cimport cython
from gateway.wire.head cimport ResponseHead
from gateway.wire.response_parser cimport ResponseParser


cdef class UpstreamConnection:
    cdef public object header, pool, receiver, transport, uses
    cdef public ResponseParser parser
    cdef public bint _congested, _ended, _paused, _request_ended, chunked
    cdef public double born, idle_since

    cpdef send(self, data, ended, chunked, bodyless)
    @cython.locals(parser=ResponseParser, head=ResponseHead, began=bint, ended=bint)
    cpdef data_received(self, data)
    cpdef _release(self, ResponseHead head)

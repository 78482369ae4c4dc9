cimport cython
from gateway.wire.date cimport Date
from gateway.wire.head cimport RequestBlock, RequestHead, ResponseBlock, ResponseHead
from gateway.wire.pausing cimport PausingConnection
from gateway.wire.request_parser cimport RequestParser


cdef class ClientConnection(PausingConnection):
    cdef public object _connections, _lingered, _stash, certificate, deadlines, handler, told
    cdef public RequestParser parser
    cdef public bint _bodyless, _chunked, _closing, _eof, _head_begun, _keep, _lingers, _reading, responded
    cdef public long _pending

    cpdef watch(self, double deadline)
    @cython.locals(date=Date, keep=bint, parser=RequestParser, pieces=list, request=RequestHead)
    cpdef respond(self, ResponseHead head, body, ended)
    cpdef send_body(self, body, ended)
    @cython.locals(parser=RequestParser)
    cpdef finished(self, now)
    @cython.locals(head=RequestHead)
    cpdef data_received(self, data)

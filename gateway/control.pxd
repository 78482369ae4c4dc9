cimport cython
from gateway.upstreams.endpoint cimport Endpoint
from gateway.upstreams.upstream cimport Upstream
from gateway.wire.fields cimport is_plain
from gateway.wire.head cimport ResponseHead


@cython.locals(lines=list)
cpdef bytes request_bytes(method, path, headers, body, Upstream upstream, Endpoint endpoint)


cdef class _Call:
    cdef public object _again, _condition, _connection, _max_body, _request, _timer, reply
    cdef public Endpoint _endpoint
    cdef public Upstream _upstream
    cdef public ResponseHead _head
    cdef public list _pieces
    cdef public bint _bodyless, _over
    cdef public double _started
    cdef public long _size, _status

    @cython.locals(endpoint=Endpoint)
    cpdef begin(self, double now, timeout)
    @cython.locals(endpoint=Endpoint, now=double, upstream=Upstream)
    cpdef end(self)
    cpdef _fail(self, error)
    cpdef connected(self, connection)
    cpdef response(self, ResponseHead head, body, ended)
    @cython.locals(head=ResponseHead)
    cpdef response_body(self, body, ended)

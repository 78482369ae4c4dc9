cimport cython
from gateway.chain cimport Chain
from gateway.exchange cimport Attempt
from gateway.live cimport LiveExchange
from gateway.upstreams.endpoint cimport Endpoint
from gateway.upstreams.upstream cimport Upstream
from gateway.wire.head cimport RequestHead, ResponseHead
from gateway.wire.pool cimport Pool
from gateway.wire.request_text cimport request_text


cdef class LiveAttempt(Attempt):
    cdef public object _proxy, connection, ran
    cdef public Endpoint target
    cdef public LiveExchange exchange
    cdef public Upstream upstream
    cdef public bint over, settled

    cpdef _begin(self, LiveExchange exchange, Endpoint target)
    @cython.locals(chain=Chain, exchange=LiveExchange, pool=Pool)
    cpdef start(self, fresh)
    cpdef end(self, kind, now)
    @cython.locals(exchange=LiveExchange, target=Endpoint, upstream=Upstream)
    cpdef settle(self, kind, now)
    @cython.locals(exchange=LiveExchange, head=RequestHead, upstream=Upstream)
    cpdef connected(self, connection)
    cpdef response(self, head, body, ended)
    cpdef response_body(self, body, ended)

cimport cython
from gateway.chain cimport Chain
from gateway.exchange cimport Exchange
from gateway.routing.actions cimport Forward, Rewrite
from gateway.routing.route cimport Route
from gateway.upstreams.upstream cimport Upstream
from gateway.wire.client_stream cimport ClientStream
from gateway.wire.head cimport RequestBlock, RequestHead, ResponseHead
from gateway.wire.request_text cimport forwarded_lines


cdef class LiveExchange(Exchange):
    cdef public object _sent_path, added, held, held_limit, late, mirror, pending, permit, refusal
    cdef public object replay, retries, table, task, total_at, tried, waiting
    cdef public long ran
    cdef public Chain chain
    cdef public ClientStream client
    cdef public Route matched
    cdef public bint collecting, continued, crashed, over, prepared, request_ended, rescued, responding, spent
    cdef public bint upstream_congested

    @cython.locals(block=RequestBlock)
    cpdef _take(self, ClientStream client, RequestHead head, Chain chain)
    @cython.locals(head=RequestHead, rewrite=Rewrite)
    cpdef prepare(self, Forward action, Upstream upstream)
    cpdef wait(self, kind, seconds)
    cpdef wait_until(self, kind, deadline)

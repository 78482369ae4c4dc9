cimport cython
from gateway.attempt cimport LiveAttempt
from gateway.chain cimport Chain, Step
from gateway.exchange cimport Reply
from gateway.live cimport LiveExchange
from gateway.routing.actions cimport Forward, Redirect, Respond
from gateway.routing.route cimport Route
from gateway.routing.router cimport Router
from gateway.upstreams.endpoint cimport Endpoint
from gateway.upstreams.upstream cimport Upstream
from gateway.wire.client_stream cimport ClientStream
from gateway.wire.head cimport RequestHead, ResponseHead
from gateway.wire.reply_head cimport reply_head


cdef class Proxy:
    cdef public object table
    cdef public bint stopping
    cdef public long active

    @cython.locals(chain=Chain, exchange=LiveExchange, route=Route, router=Router)
    cpdef begin(self, ClientStream client, RequestHead head, body, ended)
    @cython.locals(chain=Chain, step=Step, steps=tuple)
    cpdef admit(self, LiveExchange exchange, first)
    @cython.locals(forward=Forward)
    cpdef _act(self, LiveExchange exchange)
    @cython.locals(attempt=LiveAttempt, endpoint=Endpoint)
    cpdef attempt(self, LiveExchange exchange, Upstream upstream, fresh=*)
    cpdef response(self, LiveExchange exchange, LiveAttempt attempt, ResponseHead head, body, ended)
    cpdef response_body(self, LiveExchange exchange, LiveAttempt attempt, body, ended)
    cpdef fail(self, LiveExchange exchange, error)
    cpdef _stop_work(self, LiveExchange exchange, kind)
    cpdef answer(self, LiveExchange exchange, Reply reply, outcome=*, flag=*)
    cpdef _run_responses(self, LiveExchange exchange, ResponseHead head, local=*)
    cpdef _send_whole(self, LiveExchange exchange, ResponseHead head, original, outcome, flag)
    cpdef _finish(self, LiveExchange exchange, outcome, flag, now)

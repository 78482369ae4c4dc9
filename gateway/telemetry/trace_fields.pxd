cimport cython
from gateway.exchange cimport Exchange
from gateway.wire.head cimport Head


@cython.locals(headers=Head)
cpdef begin_trace(Exchange exchange, str sampled)
cpdef bytes request_id_line(Exchange exchange)

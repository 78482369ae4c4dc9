cimport cython
from gateway.exchange cimport Exchange
from gateway.wire.head cimport Head


@cython.locals(fields=Head, headers=dict)
cpdef question(Exchange exchange, options)

cimport cython
from gateway.exchange cimport Attempt, Exchange, Reply
from gateway.wire.head cimport Head, ResponseBlock


cdef class Problem:
    cdef public str detail, opening, title
    cdef public dict headers
    cdef public object status
    cdef public bint is_clients, plain

    cpdef page(self, request_id)


@cython.locals(headers=dict, fields=Head, body=bytes, path=str, problem=Problem, reply=Reply)
cpdef problem_reply(error, Exchange exchange, name)
@cython.locals(key=tuple, block=ResponseBlock)
cpdef _written(Reply reply)
@cython.locals(attempt=Attempt, text=str)
cpdef _proxy_status(error, Exchange exchange, name)

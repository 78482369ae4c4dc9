cimport cython


cdef class Step:
    cdef public long place
    cdef public object admit, call, plugin


cdef class Chain:
    cdef public object attempt_ends, attempts, collectors, failures, request_body, resends
    cdef public tuple finishes, plugins, requests, responses

    @cython.locals(step=Step)
    cpdef run_responses(self, exchange, head, long ran)
    @cython.locals(step=Step)
    cpdef run_attempt_ends(self, exchange, attempt, long ran)
    @cython.locals(step=Step)
    cpdef run_finishes(self, exchange, long ran)

cdef class Chain:
    cdef public object attempt_ends, attempts, collectors, failures, request_body, resends
    cdef public tuple finishes, plugins, requests, responses

    cpdef run_responses(self, exchange, head, ran)
    cpdef run_finishes(self, exchange, ran)

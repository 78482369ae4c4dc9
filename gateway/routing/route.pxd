cdef class Route:
    cdef public object action, chain, frontend, host, id, methods, name, order, pattern, predicates, priority
    cdef public bint captures

cdef class Changes:
    cdef public long count


cdef class Endpoint:
    cdef public object address, authority, available_since, changes, check_failure, ejected_for, ejected_until
    cdef public object ejections, full_weight, pool, priority, returned_at, state, weight
    cdef public bint checked, healthy
    cdef public long errors, failures, in_flight, refusals, requests

from gateway.wire.pool cimport Pool


cdef class Changes:
    cdef public long count


cdef class Endpoint:
    cdef public object address, authority, available_since, changes, check_failure, ejected_for, ejected_until
    cdef public object ejections, full_weight, priority, returned_at, state, weight
    cdef public Pool pool
    cdef public bint checked, healthy
    cdef public long errors, failures, in_flight, refusals, requests

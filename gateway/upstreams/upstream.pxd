cimport cython
from gateway.telemetry.upstream_meters cimport UpstreamMeters
from gateway.upstreams.endpoint cimport Changes, Endpoint


cdef class Upstream:
    cdef public object _choices, _review_at, _seen, _spare, balance, budget, checks, endpoints, hedge, hedges, host
    cdef public object limiter, name, outliers, panic, per_try, replay_limit, retries, slow_start, timeouts
    cdef public object try_timeout
    cdef public Changes changes
    cdef public UpstreamMeters meters
    cdef public Endpoint only
    cdef public bint forwarded
    cdef public tuple observers

    @cython.locals(only=Endpoint)
    cpdef pick(self, exchange, now, avoid=*)

cimport cython
from gateway.ids cimport Digits


cdef class Reply:
    cdef public object body, cookies, headers, status, written


cdef class Attempt:
    cdef public object endpoint, error, number, seconds, started, status, waited


cdef class Exchange:
    cdef public object _captures, _path, _request_id, _state, attempt, attempts, body, bytes_in
    cdef public object bytes_out, claims, client_certificate, client_ip, cookie, ended, fallback, flag, frontend
    cdef public object headers, host, method, outcome, peer_trusted, principal, query, raw_path
    cdef public object route, route_id, scheme, span_id, started
    cdef public object status, tap, target, told, trace_id, upstream, upstream_names, upstream_seconds, version

    @cython.locals(digits=Digits)
    cpdef mint_ids(self)

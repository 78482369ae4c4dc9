from gateway.wire.head cimport ResponseHead


cdef class ClientStream:
    cdef public object exchange, forwarded, peer, settings
    cdef public bint trusted, unusual
    cdef public double check_at, deadline

    cpdef watch(self, double deadline)
    cpdef respond(self, ResponseHead head, body, ended)
    cpdef send_body(self, body, ended)
    cpdef finished(self, now)

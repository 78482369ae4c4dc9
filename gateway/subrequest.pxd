from gateway.live cimport LiveExchange
from gateway.proxy cimport Proxy
from gateway.wire.client_stream cimport ClientStream


cdef class Subrequest(LiveExchange):
    cdef public object asked

    cpdef _inherit(self, LiveExchange parent, until)


cdef class SubrequestStream(ClientStream):
    cdef public object body, error, head, limit, owner, status

    cpdef over(self)


cdef class Subrequests(Proxy):
    cdef public object keeper

    cpdef send(self, Subrequest exchange)

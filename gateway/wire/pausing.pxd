from gateway.wire.client_stream cimport ClientStream


cdef class PausingConnection(ClientStream):
    cdef public object transport
    cdef public int _pauses

    cpdef _pause(self, int reason)
    cpdef _resume(self, int reason)

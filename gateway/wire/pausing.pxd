cdef class PausingConnection:
    cdef public object transport
    cdef public int _pauses

    cpdef _pause(self, int reason)
    cpdef _resume(self, int reason)

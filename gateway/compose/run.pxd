from gateway.compose.calls cimport Call
from gateway.compose.results cimport Result
from gateway.live cimport LiveExchange
from gateway.subrequest cimport Subrequests


cdef class Composition:
    cdef public object _added, _failures, _flavour, _host, _started, plan, proxy
    cdef public list _lines, _results, _waits
    cdef public set calls
    cdef public LiveExchange exchange
    cdef public Subrequests subrequests
    cdef public long _open
    cdef public bint over

    cpdef ask(self, Call call)
    cpdef take(self, Call call)
    cpdef settled(self, part, Result result)

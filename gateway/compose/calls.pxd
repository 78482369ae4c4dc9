from gateway.compose.results cimport Result
from gateway.subrequest cimport SubrequestStream


cdef class Call(SubrequestStream):
    cdef public object begun, composition, indexes, items, part, question, resort

    cpdef settle(self, Result result)

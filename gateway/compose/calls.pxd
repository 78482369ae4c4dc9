from gateway.subrequest cimport SubrequestStream


cdef class Call(SubrequestStream):
    cdef public object begun, composition, indexes, items, part, question, resort

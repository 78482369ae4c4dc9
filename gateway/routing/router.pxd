cdef class Router:
    cdef public object _memorable, _prioritised, _tables, _wildcards, routes
    cdef public dict _found, _hosts, _missed

    cpdef find(self, host, raw_path, request)

cdef class Rewrite:
    cdef public object headers, path, query

    cpdef target(self, raw_path, query, captures)


cdef class Forward:
    cdef public object _key, _reached, _total, importance, mirror, names, rewrite, total, upstream, websockets
    cdef public object weights

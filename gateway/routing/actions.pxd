cdef class Rewrite:
    cdef public object headers, path, query

    cpdef target(self, raw_path, query, captures)


cdef class Redirect:
    cdef public object status, to

    cpdef location(self, exchange)
    cpdef reply(self, exchange)


cdef class Respond:
    cdef public object _reply

    cpdef reply(self, exchange)


cdef class PluginAnswer(Respond):
    cdef public object _name


cdef class Forward:
    cdef public object _key, _reached, _total, importance, mirror, names, rewrite, total, upstream, websockets
    cdef public object weights

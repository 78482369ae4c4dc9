cimport cython
from gateway.wire.fields cimport is_plain
from gateway.wire.shapes cimport Shape


cdef class Block:
    cdef public Shape shape
    cdef public dict asked
    cdef public bytes text
    cdef public list values


cdef class Head:
    cdef public object _removed
    cdef public Block block
    cdef public list _added

    cpdef add(self, name, value)
    cpdef add_line(self, line)
    cpdef add_all(self, fields)
    cpdef set(self, name, value)
    cpdef set_line(self, bytes name, line)
    cpdef raw(self, name)
    @cython.locals(asked=dict, found=tuple)
    cpdef tuple raw_values(self, tuple names)
    @cython.locals(line=bytes, name=bytes, place=Py_ssize_t, size=Py_ssize_t)
    cpdef tuple _with_added(self, tuple names, tuple found)
    cpdef list lines(self)
    cpdef _discard(self, key)
    cpdef _replace(self, key, line)


cdef class RequestBlock(Block):
    cdef public object content_length, count, host, host_field
    cdef public bint chunked, expects_continue, keep_alive


cdef class RequestHead(Head):
    cdef public object line, method, target, version
    cdef public bint chunked


cdef class ResponseBlock(Block):
    cdef public object length, line, status, whole
    cdef public bint chunked, dated, keep_alive


cdef class ResponseHead(Head):
    cdef public object body, length, status

    cpdef _take(self, ResponseBlock block)
    @cython.locals(block=ResponseBlock)
    cpdef list pieces(self)

cdef class Shape:
    cdef public object host_at, length_at, names, pick, template
    cdef public bint plain
    cdef public dict index, repeats, telling


cdef class HeaderPolicy:
    cdef public object _drop, _drop_spelling, _prefix
    cdef public dict blocks, shapes, targets

cdef class BodyPieces:
    cdef public list _chunks

    cpdef bytes take_body(self)

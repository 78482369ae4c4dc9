cimport cython


@cython.locals(digests=dict)
cpdef bytes fingerprint(credential)

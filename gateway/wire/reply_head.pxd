cimport cython
from gateway.wire.head cimport ResponseBlock, ResponseHead


@cython.locals(block=ResponseBlock)
cpdef ResponseHead reply_head(reply)

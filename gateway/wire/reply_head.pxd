cimport cython
from gateway.exchange cimport Reply
from gateway.wire.head cimport ResponseBlock, ResponseHead


@cython.locals(block=ResponseBlock)
cpdef ResponseHead reply_head(Reply reply)

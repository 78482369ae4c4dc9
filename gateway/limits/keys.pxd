from gateway.exchange cimport Exchange


cpdef client(Exchange exchange)

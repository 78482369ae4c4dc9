from gateway.wire.head cimport RequestHead


cpdef forwarded_lines(client, RequestHead head, rfc7239)


cpdef bytes request_text(
    RequestHead head, target, host, address, bytes added, bytes body, ended, chunked
)

from gateway.wire.client_stream cimport ClientStream
from gateway.wire.head cimport RequestHead


cpdef forwarded_lines(ClientStream client, RequestHead head, rfc7239)


cpdef bytes request_text(
    RequestHead head, target, host, address, bytes added, bytes body, ended, chunked
)

"""Which endpoint is next: one file an algorithm. Pure: no clock, no sockets."""

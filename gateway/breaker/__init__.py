"""The circuit breaker: when calls are let through, what answers in place of a failure, and the figures of both."""

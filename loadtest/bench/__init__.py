"""`python -m loadtest.bench`: CPU and memory of the gateway beside nginx, HAProxy, Envoy and a naive aiohttp proxy."""

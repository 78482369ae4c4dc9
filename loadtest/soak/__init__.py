"""`python -m loadtest.soak`: does anything stay behind after clients and upstreams that hang, reset and vanish?"""

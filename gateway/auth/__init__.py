"""Who a request is from: tokens, sessions, keys, passwords, and what is cached of it."""

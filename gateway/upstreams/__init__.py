"""The services behind the gateway: endpoints, balance, and what is counted about them."""

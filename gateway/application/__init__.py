"""aiohttp applications on routes. A handler finds what it has of the gateway as `request[GATEWAY]`."""

from gateway.application.context import GATEWAY, Gateway

__all__ = ["GATEWAY", "Gateway"]

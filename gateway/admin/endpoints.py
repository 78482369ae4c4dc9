"""How an endpoint is drained, or given requests again, at one worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.admin.views import endpoint_row
from gateway.upstreams.endpoint import State

if TYPE_CHECKING:
    from gateway.process.runtime import Runtime


def put(runtime: Runtime, name: str, address: str, state: State) -> dict[str, Any] | list[str] | None:
    """The endpoint's row; the addresses that there are where it is none of them; None without such an upstream. It
    stays so across reloads."""
    upstream = runtime.proxy.table.upstreams.get(name)
    if upstream is None:
        return None
    found = next((one for one in upstream.endpoints if one.address in (address, address.lower())), None)
    if found is None:
        return [one.address for one in upstream.endpoints]
    now = runtime.env.clock.now()
    found.put(state, now)
    return endpoint_row(found, now)

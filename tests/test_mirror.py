"""Whether a request is copied at all; the copies themselves are seen in tests/integration/test_mirror.py."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.mirror import MirrorCopy, mirror
from gateway.routing.actions import Mirror
from gateway.telemetry.metrics import Counter, Metrics
from gateway.telemetry.upstream_meters import UpstreamMeters
from gateway.upstreams.upstream import Upstream
from gateway.wire.head import unread_head
from tests.support.gateways import make_settings, make_upstream


class Shadow:
    """An upstream for copies, and an exchange that would be copied to it."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.upstream: Upstream = make_upstream("shadow", 9)
        self.upstream.meters = UpstreamMeters(self.metrics, "shadow")
        self.upstream.endpoints[0].put("drain", time.monotonic())
        table = SimpleNamespace(upstreams={"shadow": self.upstream})
        self.exchange: Any = SimpleNamespace(table=table, mirror=None, request_ended=True, bytes_in=0, body=None)
        self.exchange.pending = []
        self.exchange.cookie = None
        self.exchange.target, self.exchange.added = "/x", b""
        self.exchange.headers = unread_head(make_settings().untrusted_policy)

    @property
    def dropped(self) -> float:
        (family,) = [family for family in self.metrics if "mirror" in family.name]
        child = family.children.get(("shadow", "dropped"))
        return child.value if isinstance(child, Counter) else 0


def test_no_share_is_no_copy() -> None:
    shadow = Shadow()
    mirror(shadow.exchange, Mirror("shadow", share=0.0))
    shadow.exchange.request_ended = False
    mirror(shadow.exchange, Mirror("shadow", share=0.0))
    assert (shadow.exchange.mirror, shadow.dropped) == (None, 0)


@pytest.mark.parametrize("ended", [True, False])
def test_copy_without_an_endpoint_is_dropped_with_the_last_of_the_body(ended: bool) -> None:
    shadow = Shadow()
    shadow.exchange.request_ended = ended
    mirror(shadow.exchange, Mirror("shadow"))
    assert shadow.dropped == ended
    if not ended:
        shadow.exchange.mirror.feed(b"abc", False)
        assert shadow.dropped == 0
        shadow.exchange.mirror.feed(b"", True)
        assert shadow.dropped == 1
    assert shadow.upstream.in_flight == 0


@pytest.mark.parametrize(("slices", "dropped"), [([b"abc"], 0), ([b"abcd"], 1), ([b"ab", b"cd", b"e"], 1)])
def test_body_that_is_too_long_is_dropped_once(slices: list[bytes], dropped: int) -> None:
    shadow = Shadow()
    copy = MirrorCopy(shadow.exchange, Mirror("shadow", body=3))
    for piece in slices:
        copy.feed(piece, False)
    assert shadow.dropped == dropped
    copy.feed(b"", True)
    assert shadow.dropped == 1

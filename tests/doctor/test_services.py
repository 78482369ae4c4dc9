"""The checks of what a configuration names, each at both sides of its border."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from gateway.doctor.finding import Finding
from gateway.doctor.services import (
    DAY,
    AdminFacts,
    CertificateFacts,
    ListenFacts,
    StoreFacts,
    TargetFacts,
    by_upstream,
    check_admin,
    check_certificate,
    check_configuration,
    check_issuer,
    check_listen,
    check_sink,
    check_store,
    check_upstream,
)

NOW = 1_000_000_000.0


def complete(finding: Finding) -> str:
    """The level, of a finding that says what it should."""
    assert (finding.level == "ok") == (not finding.means) == (not finding.remedy), finding
    return finding.level


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"problem": "connection refused"}, "failed"),
        ({"version": "4.0.14"}, "failed"),
        ({"version": "5.0.0"}, "ok"),
        ({"version": "10.1"}, "ok"),
        ({"latency": 0.0101}, "warning"),
        ({"latency": 0.0099}, "ok"),
        ({"skew": 1.1}, "warning"),
        ({"skew": -1.1}, "warning"),
        ({"skew": -0.9}, "ok"),
        ({"clients": 127}, "warning"),
        ({"clients": 128}, "ok"),
        ({"policy": "allkeys-lru"}, "warning"),
        ({"policy": "noeviction"}, "ok"),
        ({"policy": "volatile-lru"}, "ok"),
    ],
)
def test_a_store(facts: dict[str, Any], expected: str) -> None:
    well: dict[str, Any] = {"latency": 0.001, "version": "7.2.4", "skew": 0.0, "clients": 10_000}
    (finding,) = check_store(StoreFacts("redis://127.0.0.1:6379", 0.05, 128, **{**well, **facts}))
    assert complete(finding) == expected


def test_a_store_with_several_faults() -> None:
    found = check_store(StoreFacts("redis://r", 0.05, 128, "", 0.04, "4.0", 9.0, 1, "allkeys-lru"))
    assert [complete(one) for one in found] == ["failed", *["warning"] * 4]


@pytest.mark.parametrize(
    ("error", "running", "expected", "words"),
    [
        (0, False, "ok", "free"),
        (0, True, "ok", "free"),
        (errno.EADDRINUSE, True, "ok", "the gateway that runs"),
        (errno.EADDRINUSE, False, "failed", "another process"),
        (errno.EACCES, False, "failed", "below port 1024"),
        (errno.EADDRNOTAVAIL, False, "failed", "no such address"),
        (errno.EMFILE, False, "failed", "EMFILE"),
    ],
)
def test_an_address_to_listen_on(error: int, running: bool, expected: str, words: str) -> None:
    finding = check_listen(ListenFacts("listener", "0.0.0.0:80", 80, error, running), "shell")
    assert complete(finding) == expected
    assert words in finding.found


@pytest.mark.parametrize(
    ("alive", "asked", "expected"), [(0, 0, "ok"), (200, 200, "ok"), (200, 401, "warning"), (404, 0, "warning")]
)
def test_the_admin_listener(alive: int, asked: int, expected: str) -> None:
    assert complete(check_admin(AdminFacts("127.0.0.1:9901", alive, asked))) == expected


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"problem": "permission denied"}, "failed"),
        ({}, "ok"),
        ({"begins": NOW - DAY, "ends": NOW - 1}, "failed"),
        ({"begins": NOW - DAY, "ends": NOW}, "failed"),
        ({"begins": NOW - DAY, "ends": NOW + 1}, "warning"),
        ({"begins": NOW - DAY, "ends": NOW + 13.9 * DAY}, "warning"),
        ({"begins": NOW - DAY, "ends": NOW + 14 * DAY}, "ok"),
        ({"begins": NOW, "ends": NOW + 90 * DAY}, "ok"),
        ({"begins": NOW + 1, "ends": NOW + 90 * DAY}, "failed"),
    ],
)
def test_a_certificate(facts: dict[str, Any], expected: str) -> None:
    assert complete(check_certificate(CertificateFacts("tls.crt", **facts), NOW)) == expected


def test_a_log() -> None:
    assert complete(check_sink("file:///var/log/gateway.log", "")) == "ok"
    finding = check_sink("file:///var/log/gateway.log", "permission denied")
    assert complete(finding) == "failed"
    assert finding.remedy[0] == "ls -ld /var/log"
    assert check_sink("file:///gateway.log", "permission denied").remedy[0] == "ls -ld /"


def test_an_upstream() -> None:
    up = [TargetFacts("a", f"10.0.0.{number}:80") for number in range(2)]
    down = [TargetFacts("a", f"10.0.1.{number}:80", "connection refused") for number in range(5)]
    assert complete(check_upstream("a", up)) == "ok"
    some = check_upstream("a", up + down)
    assert complete(some) == "warning"
    assert some.found.endswith(", and 2 more")
    assert "others" in some.means
    assert "502" in check_upstream("a", down).means
    assert check_upstream("a", [TargetFacts("a", "unix:/run/a", "gone")]).remedy[0] == "ls -l /run/a"


def test_an_issuer() -> None:
    assert complete(check_issuer(TargetFacts("issuer", "https://id.example.com"))) == "ok"
    assert complete(check_issuer(TargetFacts("issuer", "https://id.example.com", "no such host"))) == "warning"


def test_the_configuration() -> None:
    assert check_configuration("r.yaml", [], 0).level == "ok"
    assert check_configuration("r.yaml", [], 1).found == "r.yaml: no errors, 1 warning"
    finding = check_configuration("r.yaml", ["r.yaml:1:1: bad", "r.yaml:2:1: worse"], 3)
    assert (finding.level, finding.found) == ("failed", "2 errors, the first: r.yaml:1:1: bad")
    assert finding.remedy == ("gateway check -c r.yaml",)


def test_endpoints_of_each_upstream() -> None:
    targets = [TargetFacts("a", "1"), TargetFacts("b", "2"), TargetFacts("a", "3")]
    assert {name: len(group) for name, group in by_upstream(targets).items()} == {"a": 2, "b": 1}

"""Lines of the access log: ECS is JSON whatever a client sends, text formats stay one line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry.access_formats import FIELDS, access_format
from gateway.testing import make_exchange

# 2026-11-22T12:30:00.123Z
WALL = 1795350600.123
SECRETS = ("token",)


def line(chosen: str, path: str = "/api/items/42", headers: dict[str, str] | None = None, **fields: Any) -> str:
    facts: dict[str, Any] = {
        "started": 1000.0,
        "ended": 1000.25,
        "upstream_seconds": 0.2,
        "status": 200,
        "bytes_in": 7,
        "bytes_out": 123,
        "outcome": "answered",
        "route": "item",
        "upstream": "catalog",
        "attempts": 1,
        "request_id": "req-1",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "span_id": "b7ad6b7169203331",
    }
    exchange = make_exchange("GET", path, {"User-Agent": "curl/8", **(headers or {})}, **(facts | fields))
    return access_format(chosen, "edge", SECRETS)(exchange, WALL - 1000.0)


def test_ecs() -> None:
    text = line(
        "ecs", "/api/items/42?a=1&token=x", {"Referer": "https://a.example/?token=x", "Host": "api.example.com:8080"}
    )

    assert text.endswith("}\n")
    assert list(json.loads(text))[:4] == ["@timestamp", "log.level", "message", "ecs.version"]
    assert json.loads(text) == {
        "@timestamp": "2026-11-22T12:30:00.123Z",
        "log.level": "info",
        "message": "GET /api/items/42 200",
        "ecs.version": "8.11.0",
        "service": {"name": "edge"},
        "event": {
            "kind": "event",
            "category": ["web"],
            "type": ["access"],
            "dataset": "gateway.access",
            "outcome": "success",
            "duration": 250000000,
        },
        "trace": {"id": "0af7651916cd43dd8448eb211c80319c"},
        "span": {"id": "b7ad6b7169203331"},
        "http": {
            "version": "1.1",
            "request": {
                "id": "req-1",
                "method": "GET",
                "body": {"bytes": 7},
                "referrer": "https://a.example/?token=REDACTED",
            },
            "response": {"status_code": 200, "body": {"bytes": 123}},
        },
        "url": {
            "original": "/api/items/42?a=1&token=REDACTED",
            "path": "/api/items/42",
            "query": "a=1&token=REDACTED",
            "domain": "api.example.com",
            "port": 8080,
            "scheme": "http",
        },
        "client": {"ip": "192.0.2.1"},
        "user_agent": {"original": "curl/8"},
        "labels": {
            "route": "item",
            "upstream": "catalog",
            "outcome": "answered",
            "flag": "-",
            "attempts": 1,
            "upstream_ms": 200.0,
            "overhead_ms": 50.0,
        },
    }


def test_ecs_leaves_out_what_is_not_known() -> None:
    record = json.loads(line("ecs", trace_id="", span_id="", upstream="", route="-", status=404, outcome="no_route"))

    assert {"trace", "span", "user"}.isdisjoint(record)
    assert record["labels"]["route"] == "-"
    assert "upstream" not in record["labels"]
    assert record["event"]["outcome"] == "failure"


@pytest.mark.parametrize(("status", "level"), ((200, "info"), (404, "info"), (500, "error"), (503, "error")))
def test_ecs_levels(status: int, level: str) -> None:
    assert json.loads(line("ecs", status=status))["log.level"] == level


def test_ecs_names_who_asked() -> None:
    assert json.loads(line("ecs", principal='a"b'))["user"] == {"name": 'a"b'}


def test_ecs_never_holds_credentials() -> None:
    text = line("ecs", headers={"Authorization": "Bearer hidden", "Cookie": "hidden=1"})

    assert "hidden" not in text


@pytest.mark.parametrize("host", ("[::1]:80", "a:b", ":80", "a:٣"))
def test_ecs_takes_a_host_apart_only_where_it_has_a_port(host: str) -> None:
    url = json.loads(line("ecs", host=host))["url"]

    assert (url["domain"], url.get("port")) == (("[::1]", 80) if host == "[::1]:80" else (host, None))


@given(
    path=st.text(st.characters(max_codepoint=255, exclude_characters="?")),
    agent=st.text(st.characters(max_codepoint=255)),
    host=st.text(),
    principal=st.text(),
    request_id=st.text(st.characters(min_codepoint=32, max_codepoint=126)),
    route=st.text(st.characters(exclude_characters="/"), min_size=1),
    seconds=st.floats(0, 100_000),
    upstream=st.floats(0, 100_000),
)
def test_ecs_is_one_line_of_json_whatever_comes(
    path: str, agent: str, host: str, principal: str, request_id: str, route: str, seconds: float, upstream: float
) -> None:
    facts = {"host": host, "principal": principal, "request_id": request_id, "route": route}
    times = {"started": 0.0, "ended": seconds, "upstream_seconds": upstream}
    text = line("ecs", path, {"User-Agent": agent}, **facts, **times)

    record = json.loads(text)
    assert text.count("\n") == 1
    assert record["url"]["path"] == path
    assert record["user"]["name"] == principal
    assert record["http"]["request"]["id"] == request_id
    assert record["labels"]["route"] == route
    assert record["event"]["duration"] == pytest.approx(seconds * 1e9, abs=1000)
    assert record["labels"]["upstream_ms"] == pytest.approx(upstream * 1000, abs=0.001)
    assert record["labels"]["overhead_ms"] == pytest.approx(max(seconds - upstream, 0) * 1000, abs=0.002)


def test_combined() -> None:
    text = line("combined", "/a?token=x", {"Referer": "https://a.example/"}, principal="anna")

    assert text == (
        '192.0.2.1 - anna [22/Nov/2026:12:30:00 +0000] "GET /a?token=REDACTED HTTP/1.1" 200 123'
        ' "https://a.example/" "curl/8"\n'
    )


def test_combined_without_what_is_not_known() -> None:
    text = line("combined", "/a", {"User-Agent": ""}, bytes_out=0)

    assert text == '192.0.2.1 - - [22/Nov/2026:12:30:00 +0000] "GET /a HTTP/1.1" 200 - "-" "-"\n'


def test_combined_escapes_as_apache_does() -> None:
    text = line("combined", '/a"\\\x01\x7f\n', {"User-Agent": "\xe9\t"})

    assert '"GET /a\\"\\\\\\x01\\x7f\\n HTTP/1.1"' in text
    assert text.endswith('"\\xe9"\n')
    assert text.count("\n") == 1


@given(st.text(st.characters(max_codepoint=255, exclude_characters="?")), st.text())
def test_combined_is_one_line_of_text_whatever_comes(path: str, principal: str) -> None:
    text = line("combined", path, principal=principal)

    assert len(text.splitlines()) == 1


def test_a_template_has_every_field() -> None:
    template = " ".join(f"{name}={{{name}}}" for name in FIELDS)

    text = line(template, "/a?token=x&b=1", {"Referer": "https://a.example/"}, principal="anna")

    assert dict(part.split("=", 1) for part in text.replace(":00 +0", ":00_+0").split()) == {
        "time": "2026-11-22T12:30:00.123Z",
        "time_apache": "22/Nov/2026:12:30:00_+0000",
        "client_ip": "192.0.2.1",
        "user": "anna",
        "method": "GET",
        "path": "/a",
        "query": "token=REDACTED&b=1",
        "target": "/a?token=REDACTED&b=1",
        "version": "1.1",
        "host": "gateway.test",
        "scheme": "http",
        "status": "200",
        "bytes_in": "7",
        "bytes_out": "123",
        "size": "123",
        "duration_ms": "250.000",
        "upstream_ms": "200.000",
        "overhead_ms": "50.000",
        "route": "item",
        "frontend": "-",
        "upstream": "catalog",
        "endpoint": "-",
        "attempts": "1",
        "outcome": "answered",
        "flag": "-",
        "request_id": "req-1",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "span_id": "b7ad6b7169203331",
        "referer": "https://a.example/",
        "user_agent": "curl/8",
    }


def test_a_template_may_hold_braces_and_percents() -> None:
    assert line("100%s {{{status}}}\n") == "100%s {200} \n"


@pytest.mark.parametrize(
    ("template", "message"),
    (
        ("json", "is no log format; write ecs, combined, or a template"),
        ("{methd}", "no field {methd}; did you mean {method}?"),
        ("{}", "there are time"),
        ("{status:>5}", "takes no format of its own"),
        ("{status!r}", "takes no format of its own"),
        ("{status", "expected '}'"),
    ),
)
def test_formats_that_cannot_work(template: str, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("?", r"\?").replace("{", r"\{").replace("}", r"\}")):
        access_format(template, "edge", ())


def test_a_request_of_a_frontend() -> None:
    shown = json.loads(line("ecs", "/m/a?b=1", frontend="mobile", raw_path="/a"))
    assert (shown["labels"]["frontend"], shown["labels"]["route"]) == ("mobile", "item")
    assert (shown["url"]["path"], shown["url"]["original"]) == ("/m/a", "/m/a?b=1")
    assert shown["message"] == "GET /m/a 200"
    assert "frontend" not in json.loads(line("ecs", "/a"))["labels"]
    text = line("{frontend} {path} {target}", "/m/a?b=1", frontend="mobile", raw_path="/a")
    assert text == "mobile /m/a /m/a?b=1\n"

"""The W3C and B3 rules, case by case; what an untrusted peer says is never believed."""

from __future__ import annotations

import re
from typing import Any

import pytest
from gateway.plugins.tracing_ids import TracingIds

from gateway.exchange import Exchange, Reply
from gateway.testing import make_exchange, make_plugin, run

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"

Fields = list[tuple[str, str]]


def traced(headers: Fields, trusted: bool = True, **options: Any) -> Exchange:
    exchange = make_exchange("GET", "/", headers, peer_trusted=trusted)
    make_plugin(TracingIds, **options).on_request(exchange)
    return exchange


def test_a_request_without_ids_gets_all_of_them() -> None:
    exchange = traced([], trusted=False)

    assert re.fullmatch("[0-9a-f]{32}", exchange.trace_id)
    assert re.fullmatch("[0-9a-f]{16}", exchange.span_id)
    assert re.fullmatch("[0-9a-f]{32}", exchange.request_id)
    assert exchange.headers.get("traceparent") == f"00-{exchange.trace_id}-{exchange.span_id}-01"
    assert exchange.headers.get("x-request-id") == exchange.request_id
    assert exchange.headers.get("b3") is None


def test_no_two_requests_share_an_id() -> None:
    one, two = traced([]), traced([])

    assert len({one.trace_id, two.trace_id, one.request_id, two.request_id}) == 4
    assert one.span_id != two.span_id


def test_what_an_untrusted_peer_sends_is_replaced() -> None:
    exchange = traced([("traceparent", PARENT), ("tracestate", "a=1"), ("X-Request-Id", "theirs")], trusted=False)

    assert exchange.trace_id != TRACE
    assert exchange.headers.get_all("traceparent") == [f"00-{exchange.trace_id}-{exchange.span_id}-01"]
    assert exchange.headers.get_all("tracestate") == []
    assert exchange.headers.get_all("x-request-id") == [exchange.request_id] != ["theirs"]


# https://www.w3.org/TR/trace-context/, and the cases of its test harness.
@pytest.mark.parametrize(
    ("header", "flags"),
    (
        (PARENT, "01"),
        (f"00-{TRACE}-{SPAN}-00", "00"),
        (f"00-{TRACE}-{SPAN}-03", "03"),
        (f"00-{TRACE}-{SPAN}-02", "02"),
        (f"00-{TRACE}-{SPAN}-ff", "03"),
        (f"00-{TRACE}-{SPAN}-08", "00"),
        (f"01-{TRACE}-{SPAN}-01", "01"),
        (f"cc-{TRACE}-{SPAN}-01", "01"),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-holds", "01"),
        (f"cc-{TRACE}-{SPAN}-01-", "01"),
        (f"  {PARENT}  ", "01"),
    ),
)
def test_a_valid_traceparent_is_continued(header: str, flags: str) -> None:
    exchange = traced([("traceparent", header), ("tracestate", "a=1")])

    assert exchange.trace_id == TRACE
    assert exchange.span_id != SPAN
    assert exchange.headers.get_all("traceparent") == [f"00-{TRACE}-{exchange.span_id}-{flags}"]
    assert exchange.headers.get_all("tracestate") == ["a=1"]


@pytest.mark.parametrize(
    "header",
    (
        "",
        "00",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01-",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01.",
        f"cc-{TRACE}-{SPAN}-01.more",
        f"ff-{TRACE}-{SPAN}-01",
        f"0-{TRACE}-{SPAN}-01",
        f"000-{TRACE}-{SPAN}-01",
        f"0.-{TRACE}-{SPAN}-01",
        f"CC-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN.upper()}-01",
        f"00-{TRACE}-{SPAN}-0X",
        f"00-{TRACE}-{SPAN}-.0",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}0-{SPAN}-01",
        f"00-{TRACE}-{SPAN[1:]}-01",
        f"00-.{TRACE[1:]}-{SPAN}-01",
        f"{PARENT},{PARENT}",
    ),
)
def test_an_invalid_traceparent_starts_anew_and_takes_the_state_with_it(header: str) -> None:
    exchange = traced([("traceparent", header), ("tracestate", "a=1")])

    assert exchange.trace_id not in (TRACE, "0" * 32)
    assert exchange.headers.get_all("traceparent") == [f"00-{exchange.trace_id}-{exchange.span_id}-01"]
    assert exchange.headers.get_all("tracestate") == []


def test_two_traceparents_are_none() -> None:
    exchange = traced([("traceparent", PARENT), ("Traceparent", PARENT)])

    assert exchange.trace_id != TRACE
    assert len(exchange.headers.get_all("traceparent")) == 1


@pytest.mark.parametrize(
    ("values", "kept"),
    (
        (["a=1,b=2"], ["a=1,b=2"]),
        (["a=1", "b=2"], ["a=1,b=2"]),
        (["a=1 ,\tb=2, "], ["a=1,b=2"]),
        (["a=1,,b=2"], ["a=1,b=2"]),
        (["tenant@system=1"], ["tenant@system=1"]),
        (["0tenant@system=1"], ["0tenant@system=1"]),
        (["a/b*c_d-e=1"], ["a/b*c_d-e=1"]),
        (["a= x!~"], ["a= x!~"]),
        (["a=" + "x" * 256], ["a=" + "x" * 256]),
        ([",".join(f"k{number}=1" for number in range(32))], [",".join(f"k{number}=1" for number in range(32))]),
        ([""], []),
        (["a"], []),
        (["a="], []),
        (["=1"], []),
        (["A=1"], []),
        (["0a=1"], []),
        (["a@=1"], []),
        (["a@0b=1"], []),
        (["a@" + "b" * 15 + "=1"], []),
        (["a" * 257 + "=1"], []),
        (["a=1=2"], []),
        (["a=" + "x" * 257], []),
        (["a=\xe9"], []),
        (["a=1,a=2"], []),
        (["a=1", "b=1,a=2"], []),
        (["a=1,B=2"], []),
        ([",".join(f"k{number}=1" for number in range(33))], []),
    ),
)
def test_tracestate_is_kept_whole_or_dropped_and_the_trace_goes_on(values: list[str], kept: list[str]) -> None:
    exchange = traced([("traceparent", PARENT), *(("tracestate", value) for value in values)])

    assert exchange.trace_id == TRACE
    assert exchange.headers.get_all("tracestate") == kept


@pytest.mark.parametrize("theirs", ("a", "A.b_c-9", "x" * 128))
def test_a_trusted_peers_request_id_is_kept(theirs: str) -> None:
    exchange = traced([("X-Request-Id", theirs)])

    assert exchange.request_id == theirs
    assert exchange.headers.get_all("x-request-id") == [theirs]


@pytest.mark.parametrize("theirs", ("", "a b", "x" * 129, "a/b", "a\xe9", 'a"b'))
def test_any_other_request_id_is_replaced(theirs: str) -> None:
    exchange = traced([("X-Request-Id", theirs)])

    assert re.fullmatch("[0-9a-f]{32}", exchange.request_id)
    assert exchange.headers.get_all("x-request-id") == [exchange.request_id]


@pytest.mark.parametrize(
    ("headers", "trace", "rest"),
    (
        ([("b3", f"{TRACE}-{SPAN}-1")], TRACE, f"-1-{SPAN}"),
        ([("b3", f"{TRACE}-{SPAN}-0-{SPAN}")], TRACE, f"-0-{SPAN}"),
        ([("b3", f"{TRACE}-{SPAN}-d")], TRACE, f"-d-{SPAN}"),
        ([("b3", f"{TRACE}-{SPAN}")], TRACE, ""),
        ([("b3", f"{SPAN}-{SPAN}-1")], f"{'0' * 16}{SPAN}", f"-1-{SPAN}"),
        ([("X-B3-TraceId", TRACE), ("X-B3-SpanId", SPAN), ("X-B3-Sampled", "1")], TRACE, f"-1-{SPAN}"),
        ([("X-B3-TraceId", TRACE), ("X-B3-SpanId", SPAN), ("X-B3-Sampled", "True")], TRACE, f"-1-{SPAN}"),
        ([("X-B3-TraceId", TRACE), ("X-B3-SpanId", SPAN), ("X-B3-Sampled", "false")], TRACE, f"-0-{SPAN}"),
        ([("X-B3-TraceId", TRACE), ("X-B3-SpanId", SPAN), ("X-B3-Flags", "1")], TRACE, f"-d-{SPAN}"),
        ([("X-B3-TraceId", SPAN), ("X-B3-SpanId", SPAN)], f"{'0' * 16}{SPAN}", ""),
        ([("b3", f"{TRACE}-{SPAN}-1"), ("X-B3-TraceId", "f" * 32), ("X-B3-SpanId", SPAN)], TRACE, f"-1-{SPAN}"),
        ([("b3", "0")], None, "-0"),
        ([("b3", "d")], None, "-d"),
        ([("X-B3-Sampled", "0")], None, "-0"),
        ([("b3", f"{'0' * 32}-{SPAN}-1")], None, "-1"),
        ([("b3", f"{TRACE}-{SPAN}-2")], None, "-1"),
        ([("b3", f"{TRACE[1:]}-{SPAN}-1")], None, "-1"),
        ([("X-B3-TraceId", TRACE)], None, "-1"),
    ),
)
def test_b3_is_read_in_both_forms(headers: Fields, trace: str | None, rest: str) -> None:
    exchange = traced(headers, propagate=["b3"])

    if trace is not None:
        assert exchange.trace_id == trace
    else:
        assert exchange.trace_id not in (TRACE, "0" * 32)
    assert exchange.headers.get_all("b3") == [f"{exchange.trace_id}-{exchange.span_id}{rest}"]
    assert exchange.headers.get("x-b3-traceid") is None
    assert exchange.headers.get("traceparent") is None


def test_b3_is_written_in_many_headers() -> None:
    exchange = traced([("b3", f"{TRACE}-{SPAN}-1")], propagate=["b3multi"])

    names = ("b3", "X-B3-TraceId", "X-B3-SpanId", "X-B3-ParentSpanId", "X-B3-Sampled", "X-B3-Flags")
    assert [exchange.headers.get(name) for name in names] == [None, TRACE, exchange.span_id, SPAN, "1", None]


def test_debug_is_a_flag_of_its_own() -> None:
    exchange = traced([("b3", f"{TRACE}-{SPAN}-d")], propagate=["b3multi", "w3c"])

    assert exchange.headers.get("x-b3-flags") == "1"
    assert exchange.headers.get("x-b3-sampled") is None
    assert (exchange.headers.get("traceparent") or "").endswith("-01")


def test_all_formats_tell_the_same_and_the_first_valid_one_is_read() -> None:
    headers = [("traceparent", "broken"), ("b3", f"{TRACE}-{SPAN}-0")]

    exchange = traced(headers, propagate=["w3c", "b3", "b3multi"])

    assert exchange.trace_id == TRACE
    assert exchange.headers.get("traceparent") == f"00-{TRACE}-{exchange.span_id}-00"
    assert exchange.headers.get("b3") == f"{TRACE}-{exchange.span_id}-0-{SPAN}"
    assert exchange.headers.get("x-b3-traceid") == TRACE


def test_b3_of_an_untrusted_peer_is_replaced() -> None:
    exchange = traced([("b3", f"{TRACE}-{SPAN}-1"), ("X-B3-Flags", "1")], trusted=False, propagate=["b3", "w3c"])

    assert exchange.headers.get_all("b3") == [f"{exchange.trace_id}-{exchange.span_id}-1"]
    assert exchange.headers.get("x-b3-flags") is None


def test_traces_that_begin_here_may_be_marked_as_not_sampled() -> None:
    assert (traced([], sampled=False).headers.get("traceparent") or "").endswith("-00")
    assert (traced([("traceparent", PARENT)], sampled=False).headers.get("traceparent") or "").endswith("-01")


def test_a_second_one_in_the_chain_changes_nothing() -> None:
    exchange = make_exchange()

    run([make_plugin(TracingIds), make_plugin(TracingIds, propagate=["w3c", "b3"])], exchange)

    assert len(exchange.headers.get_all("traceparent")) == 1


def test_the_client_is_told_the_request_id() -> None:
    exchange = make_exchange()

    head = run(make_plugin(TracingIds), exchange, Reply(200, {"X-Request-Id": "the service's"}))

    assert head.headers.get_all("x-request-id") == [exchange.request_id]


def test_the_client_is_not_told_where_that_is_off() -> None:
    assert run(make_plugin(TracingIds, echo=False), make_exchange()).headers.get("x-request-id") is None


def test_only_known_formats_are_taken() -> None:
    with pytest.raises(ValueError, match="propagate|w3c"):
        make_plugin(TracingIds, propagate=["jaeger"])

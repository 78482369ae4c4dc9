"""Which records are kept, and that they reach their places."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from gateway.plugins.access_log import AccessLog

from gateway.errors import GatewayError, Kind
from gateway.exchange import Exchange, Reply
from gateway.telemetry.log_sink import LogSinks
from gateway.telemetry.metrics import Metrics
from gateway.testing import FakeSinks, Upstream, make_env, make_exchange, make_plugin, run


async def logged(cases: list[tuple[Exchange, Upstream, float]], place: str = "stdout", **options: Any) -> list[str]:
    """The lines for exchanges with what their upstream brings, and how long that takes."""
    sinks = FakeSinks()
    plugin = make_plugin(AccessLog, make_env(sinks=sinks, name="edge"), **options)
    await plugin.start()
    for exchange, upstream, seconds in cases:
        run(plugin, exchange, upstream, seconds)
    await plugin.stop()
    assert sinks.closed == list(sinks.written)
    return sinks.written[place].decode().splitlines()


def case(path: str, status: int = 200, seconds: float = 0.0) -> tuple[Exchange, Upstream, float]:
    return make_exchange("GET", path), Reply(status), seconds


async def test_by_default_every_request_is_a_line_of_ecs_on_stdout() -> None:
    lines = await logged([case("/a?token=x"), case("/b", 404)])

    records = [json.loads(line) for line in lines]
    assert [record["url"]["original"] for record in records] == ["/a?token=REDACTED", "/b"]
    assert records[0]["service"] == {"name": "edge"}
    assert records[0]["labels"]["route"] == "test"


async def test_the_gateways_own_answers_are_logged_with_their_reason() -> None:
    (line,) = await logged([(make_exchange(), GatewayError(Kind.CONNECT_FAILED), 0.0)])

    record = json.loads(line)
    assert record["http"]["response"]["status_code"] == 502
    assert (record["labels"]["outcome"], record["labels"]["flag"]) == ("connect_failed", "UF")


@pytest.mark.parametrize(
    ("options", "kept"),
    (
        ({"status": ["5xx"]}, ["/500", "/503"]),
        ({"status": [404, 503]}, ["/404", "/503"]),
        ({"status": ["404"]}, ["/404"]),
        ({"status": ["400-499", 500]}, ["/404", "/500"]),
        ({"slower_than": "1s"}, ["/slow"]),
        ({"slower_than": "1s", "status": [404]}, ["/404", "/slow"]),
        ({"sample": "0%"}, ["/500", "/503"]),
        ({"sample": "100%", "status": [404]}, ["/200", "/404", "/500", "/503", "/slow"]),
        ({"sample": "0%", "status": [404]}, ["/404", "/500", "/503"]),
    ),
)
async def test_filters_pick_and_samples_thin_out_the_rest(options: dict[str, Any], kept: list[str]) -> None:
    cases = [case("/200"), case("/404", 404), case("/500", 500), case("/503", 503), case("/slow", 200, 1.5)]

    assert await logged(cases, format="{path}", **options) == kept


async def test_an_answer_that_broke_off_is_a_failure_to_a_sample() -> None:
    sinks = FakeSinks()
    plugin = make_plugin(AccessLog, make_env(sinks=sinks), sample="0%", format="{outcome}")
    await plugin.start()
    exchange = make_exchange()
    exchange.status, exchange.outcome = 200, "body_timeout"

    plugin.on_finish(exchange)
    await plugin.stop()

    assert sinks.written["stdout"] == b"body_timeout\n"


async def test_a_sample_is_its_share() -> None:
    random.seed(7)

    lines = await logged([case("/a") for _ in range(1000)], sample="20%")

    assert 150 < len(lines) < 250


async def test_several_places_get_the_same() -> None:
    sinks = FakeSinks()
    plugin = make_plugin(AccessLog, make_env(sinks=sinks), to=["stdout", "file:///a", "stdout"], format="{path}")
    await plugin.start()
    run(plugin, make_exchange("GET", "/x"))
    await plugin.stop()

    assert sinks.written == {"stdout": b"/x\n", "file:///a": b"/x\n"}


async def test_names_to_redact_may_be_ones_own() -> None:
    (line,) = await logged([case("/?token=1&Key=2")], format="{query}", redact=["key"])

    assert line == "token=1&Key=REDACTED"


async def test_a_real_file_and_a_failed_start(tmp_path: Path) -> None:
    sinks = LogSinks(Metrics())
    env = make_env(sinks=sinks)  # type: ignore[arg-type]
    place = f"file://{tmp_path}/log"
    plugin = make_plugin(AccessLog, env, to=place, format="combined")
    await plugin.start()
    run(plugin, make_exchange("GET", "/x"))
    await plugin.stop()
    broken = make_plugin(AccessLog, env, to=[place, f"file://{tmp_path}/nowhere/log"])
    with pytest.raises(FileNotFoundError):
        await broken.start()
    run(broken, make_exchange("GET", "/never"))
    await broken.stop()
    await sinks.close()

    assert (tmp_path / "log").read_text().count('"GET /x HTTP/1.1" 200') == 1
    assert "/never" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    (
        ({"format": "xml"}, "write ecs, combined"),
        ({"format": "{what}"}, "no field"),
        ({"to": "syslog"}, "no place for logs"),
        ({"to": []}, "needs a place"),
        ({"status": ["6x"]}, "write 404, 5xx or 400-499"),
        ({"status": [99]}, "write 404"),
        ({"status": ["499-400"]}, "ends before it begins"),
        ({"sample": "200%"}, "more than the whole"),
        ({"slower_than": 5}, "no unit"),
        ({"colour": "red"}, "colour"),
    ),
)
def test_options_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_plugin(AccessLog, **options)

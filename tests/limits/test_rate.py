"""Rates parse what a file says, and format back to the shortest text."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from gateway.config.options import build_options
from gateway.config.plugin_use import PluginUse
from gateway.limits.rate import Rate


@dataclass(frozen=True)
class Options:
    rate: Rate


@pytest.mark.parametrize(
    ("text", "rate", "shortest"),
    [
        ("100/s", Rate(100, 1.0), "100/s"),
        ("5000/m", Rate(5000, 60.0), "5000/m"),
        ("10/10s", Rate(10, 10.0), "10/10s"),
        ("1000/d", Rate(1000, 86400.0), "1000/d"),
        ("20/h", Rate(20, 3600.0), "20/h"),
        ("3/250ms", Rate(3, 0.25), "3/250ms"),
        ("7/120s", Rate(7, 120.0), "7/2m"),
        ("7/90s", Rate(7, 90.0), "7/90s"),
        ("1/1000ms", Rate(1, 1.0), "1/s"),
        ("2/1500ms", Rate(2, 1.5), "2/1500ms"),
        ("1/1s", Rate(1, 1.0), "1/s"),
    ],
)
def test_a_rate_is_so_many_in_so_many_seconds(text: str, rate: Rate, shortest: str) -> None:
    assert Rate.parse(text) == rate
    assert (str(rate), repr(rate)) == (shortest, f"Rate({shortest!r})")
    assert {rate: 1}[Rate.parse(shortest)] == 1


@given(st.integers(1, 10**9 - 1), st.integers(1, 10**6), st.sampled_from(["ms", "s", "m", "h", "d"]))
def test_what_is_formatted_is_parsed_again(amount: int, count: int, unit: str) -> None:
    rate = Rate.parse(f"{amount}/{count}{unit}")
    assert Rate.parse(str(rate)) == rate
    assert len(str(rate)) <= len(f"{amount}/{count}{unit}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("100", "'100' does not say in what time; write 100/s"),
        ("0/s", "at least 1 pass, not 0; write one such as 100/s"),
        ("10/0s", "1 ms or more, not 0 s; write one such as 100/s"),
        ("-1/s", "'-1/s' is not a rate; write one such as 100/s"),
        ("1.5/s", "'1.5/s' is not a rate"),
        ("10 / s", "'10 / s' is not a rate"),
        ("10/week", "'10/week' is not a rate"),
        ("٣/s", "is not a rate"),
        ("9" * 400 + "/s", "is not a rate"),
        ("", "'' is not a rate"),
    ],
)
def test_a_mistake_is_answered_with_a_right_example(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"write") as caught:
        Rate.parse(text)
    assert message in str(caught.value)


def test_numbers_in_code_are_checked_too() -> None:
    for amount, seconds in ((0, 1.0), (1, 0.0), (1, float("inf")), (1, float("nan"))):
        with pytest.raises(ValueError, match="rate"):
            Rate(amount, seconds)


@pytest.mark.parametrize("value", [5, True, None, ["1/s"], 1.5])
def test_a_file_gives_text(value: object) -> None:
    built, problems = build_options(Options, PluginUse("limit", {"rate": value}))
    assert built is None
    assert len(problems) == 1
    assert "/s" in f"{problems[0].message} {problems[0].hint}"


def test_a_file_and_an_editor_agree() -> None:
    assert build_options(Options, PluginUse("limit", {"rate": "5/m"})) == (Options(Rate(5, 60.0)), [])
    schema = TypeAdapter(Options).json_schema()["properties"]["rate"]
    assert schema["type"] == "string"
    assert all(str(Rate.parse(example)) == example for example in schema["examples"])
    assert TypeAdapter(Options).dump_python(Options(Rate(5, 60.0)), mode="json") == {"rate": "5/m"}

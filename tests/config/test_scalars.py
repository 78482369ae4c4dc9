"""The core schema of YAML 1.2, and nothing of 1.1."""

import math

import pytest

from gateway.config.scalars import resolve


@pytest.mark.parametrize(
    "text", ("on", "off", "no", "yes", "y", "22:22", "1_000", "2001-01-01", "0b1", "1.2.3", "0x", "nulL", "-", ".", "+")
)
def test_what_yaml_1_1_would_have_read_otherwise_is_text(text: str) -> None:
    assert resolve(text) == text


@pytest.mark.parametrize(
    ("text", "value"),
    (
        ("true", True),
        ("False", False),
        ("TRUE", True),
        ("", None),
        ("~", None),
        ("null", None),
        ("42", 42),
        ("-7", -7),
        ("+7", 7),
        ("007", 7),
        ("0o17", 15),
        ("0xfF", 255),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("-.inf", -math.inf),
    ),
)
def test_typed_scalars(text: str, value: object) -> None:
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


def test_not_a_number() -> None:
    assert math.isnan(resolve(".NaN"))  # type: ignore[arg-type]


def test_an_endless_number_does_not_raise() -> None:
    assert resolve("9" * 5000) == math.inf

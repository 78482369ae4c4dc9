"""What the sample services accept in queries and switches."""

import pytest

from gateway.demo.quantities import BadValue, duration, error_status, number, share, size


def test_duration_is_in_seconds() -> None:
    assert duration("200ms", "delay") == 0.2


@pytest.mark.parametrize("value", ["5", "fast", "", 5, None, "-1s"])
def test_duration_says_what_it_wants(value: object) -> None:
    with pytest.raises(BadValue, match="^delay: "):
        duration(value, "delay")


def test_duration_is_bounded() -> None:
    with pytest.raises(BadValue, match="more than 60s|more than 1m"):
        duration("61s", "delay")


@pytest.mark.parametrize(("value", "expected"), [("50%", 0.5), (0.25, 0.25), (0, 0.0), (1, 1.0)])
def test_share_is_zero_to_one(value: object, expected: float) -> None:
    assert share(value, "share") == expected


@pytest.mark.parametrize("value", ["half", 2, -0.1, True, None, "101%", [1]])
def test_share_says_what_it_wants(value: object) -> None:
    with pytest.raises(BadValue, match="^share: "):
        share(value, "share")


@pytest.mark.parametrize(("value", "expected"), [("0", 0), ("1000", 1000), ("64KiB", 65536), ("1GiB", 1 << 30)])
def test_size_is_in_bytes(value: str, expected: int) -> None:
    assert size(value, "bytes") == expected


@pytest.mark.parametrize("value", ["", "many", "-1", "2GiB", "9" * 5000])
def test_size_is_bounded(value: str) -> None:
    with pytest.raises(BadValue, match="^bytes: "):
        size(value, "bytes")


def test_number_is_plain_digits() -> None:
    assert number("12", "count") == 12
    with pytest.raises(BadValue, match="^count: "):
        number("1e3", "count")


@pytest.mark.parametrize("value", [503, "503"])
def test_error_status_takes_numbers_and_text(value: object) -> None:
    assert error_status(value, "error") == 503


@pytest.mark.parametrize("value", [200, "77", True, None, 50.3, "oops"])
def test_error_status_is_an_error(value: object) -> None:
    with pytest.raises(BadValue, match="^error: "):
        error_status(value, "error")

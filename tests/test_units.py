"""Units parse what a file says, format back to the shortest text, and hide what is secret."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from gateway.units import Duration, Secret, Share, Size, status_range


@pytest.mark.parametrize(
    ("text", "seconds"),
    (("250ms", 0.25), ("5s", 5.0), ("1m", 60.0), ("2h", 7200.0), ("0", 0.0), ("1.5s", 1.5), ("0.1ms", 0.0001)),
)
def test_a_duration_is_seconds(text: str, seconds: float) -> None:
    assert Duration(text) == Duration.parse(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"), (("512B", 512), ("64KiB", 65536), ("10MiB", 10 << 20), ("1GiB", 1 << 30), ("10MB", 10**7))
)
def test_a_size_is_bytes(text: str, size: int) -> None:
    assert Size(text) == Size.parse(text) == size


@pytest.mark.parametrize(("text", "share"), (("20%", 0.2), ("0.5%", 0.005), ("100%", 1.0), ("0", 0.0)))
def test_a_share_is_a_fraction(text: str, share: float) -> None:
    assert Share(text) == Share.parse(text) == share


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    (
        (Duration.parse, "5", "'5' has no unit; write 5s"),
        (Duration.parse, "5 s", "'5 s' is not a duration; write one such as 5s or 250ms"),
        (Duration.parse, "-1s", "'-1s' is not a duration"),
        (Duration.parse, "5sec", "'5sec' is not a duration"),
        (Duration.parse, "9" * 400 + "s", "is not a duration"),
        (Duration.parse, "", "'' is not a duration"),
        (Duration.parse, "٣s", "is not a duration"),
        (Size.parse, "64", "'64' has no unit; write 64B"),
        (Size.parse, "64kb", "'64kb' is not a size; write one such as 64KiB or 10MiB"),
        (Size.parse, "0.3B", "not a whole number of bytes"),
        (Share.parse, "0.2", "'0.2' is not a share; write one such as 20%"),
        (Share.parse, "120%", "more than the whole"),
    ),
)
def test_a_mistake_is_answered_with_a_right_example(parse: type, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"such as|unit|whole") as caught:
        parse(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "build", (lambda: Duration(-1), lambda: Duration(float("nan")), lambda: Size(-1), lambda: Share(1.1))
)
def test_numbers_in_code_are_checked_too(build: type) -> None:
    with pytest.raises(ValueError, match=r"at least 0|0 to 1"):
        build()


@pytest.mark.parametrize(
    ("unit", "text"),
    (
        (Duration(0.25), "250ms"),
        (Duration(60), "1m"),
        (Duration(90), "90s"),
        (Duration(7200), "2h"),
        (Duration(0), "0s"),
        (Duration(1.5), "1500ms"),
        (Duration(0.0001), "0.1ms"),
        (Size(65536), "64KiB"),
        (Size(10**7), "10MB"),
        (Size(1000), "1KB"),
        (Size(1025), "1025B"),
        (Size(0), "0B"),
        (Share(0.2), "20%"),
        (Share(0.005), "0.5%"),
        (Share(1), "100%"),
        (Share(0), "0%"),
    ),
)
def test_text_is_the_shortest(unit: Duration | Size | Share, text: str) -> None:
    assert str(unit) == unit.format() == f"{unit}" == text
    assert repr(unit) == f"{type(unit).__name__}({text!r})"


@given(st.floats(min_value=0, max_value=1e9, allow_nan=False))
def test_every_duration_survives_its_text(seconds: float) -> None:
    assert Duration.parse(Duration(seconds).format()) == seconds


@given(st.integers(min_value=0, max_value=10**18 - 1))
def test_every_size_survives_its_text(size: int) -> None:
    assert Size.parse(Size(size).format()) == size


@given(st.floats(min_value=0, max_value=1))
def test_every_share_survives_its_text(share: float) -> None:
    assert Share.parse(Share(share).format()) == share


def test_a_secret_shows_itself_only_when_asked() -> None:
    secret = Secret("hunter2")
    assert "hunter2" not in f"{secret} {secret!s} {secret!r} {secret:>10} {[secret]}"
    assert secret.reveal() == "hunter2"
    assert type(secret.reveal()) is str
    assert secret == "hunter2"


FIVE_SECONDS = Duration("5s")


class Model(BaseModel):
    wait: Duration = FIVE_SECONDS
    size: Size = Size("1KiB")
    share: Share = Share("20%")
    token: Secret | None = None


@dataclass(frozen=True)
class Plain:
    wait: Duration
    sleep: Duration = FIVE_SECONDS


def test_units_are_field_types_of_models_and_dataclasses() -> None:
    model = Model.model_validate({"wait": "1m", "size": "2KiB", "share": "1%", "token": "t"})
    assert model == Model(wait=Duration(60), size=Size(2048), share=Share(0.01), token=Secret("t"))
    assert type(model.wait) is Duration
    assert TypeAdapter(Plain).validate_python({"wait": "2s"}) == Plain(Duration(2), Duration(5))


def test_dumps_are_text_and_masked() -> None:
    dumped = Model(token=Secret("hunter2")).model_dump(mode="json")
    assert dumped == {"wait": "5s", "size": "1KiB", "share": "20%", "token": "***"}
    assert "hunter2" not in repr(Model(token=Secret("hunter2")))


@pytest.mark.parametrize(
    ("data", "message"),
    (
        ({"wait": 5}, "'5' has no unit; write 5s"),
        ({"wait": True}, "should be a duration such as 5s"),
        ({"wait": None}, "should be a duration such as 5s"),
        ({"share": 0.2}, "'0.2' is not a share"),
        ({"token": 5}, "should be text"),
    ),
)
def test_a_bare_number_is_an_error_in_data(data: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match="1 validation error") as caught:
        Model.model_validate(data)
    assert message in str(caught.value)


def test_zero_needs_no_unit() -> None:
    assert Model.model_validate({"wait": 0, "size": 0, "share": 0}) == Model(
        wait=Duration(0), size=Size(0), share=Share(0)
    )


@pytest.mark.parametrize(("choice", "first", "last"), [(404, 404, 404), ("404", 404, 404), ("5xx", 500, 599)])
def test_statuses(choice: int | str, first: int, last: int) -> None:
    assert status_range(choice) == range(first, last + 1)


@pytest.mark.parametrize("choice", [20, "20", "xx", "4xx-499", "4040", ""])
def test_what_is_no_status_is_told_with_examples(choice: int | str) -> None:
    with pytest.raises(ValueError, match=f"{choice!r} is no status; write 1 or 2"):
        status_range(choice, "1 or 2")


def test_a_validation_context_collects_the_secrets() -> None:
    met: set[str] = set()
    with pytest.raises(ValidationError):
        Model.model_validate({"token": "hunter2", "wait": "x"}, context=met)
    assert met == {"hunter2"}


def test_json_schema_is_text_with_a_pattern() -> None:
    properties = Model.model_json_schema()["properties"]
    assert properties["wait"]["type"] == "string"
    assert properties["wait"]["default"] == "5s"
    assert "pattern" in properties["size"]

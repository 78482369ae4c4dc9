"""What all specs share."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ConfigDict, Field, ValidationError

from gateway.config.spec import Spec, not_scalar, or_short, or_text


class Long(Spec):
    """A mapping."""

    model_config = ConfigDict(json_schema_extra=or_short({"const": "off"}))

    size: int = Field(1, description="how large")


class Plain(Spec):
    """A mapping or text."""

    model_config = ConfigDict(json_schema_extra=or_text)

    size: int = Field(1, description="how large")


def test_a_spec_does_not_change() -> None:
    spec = Long(size=2)
    with pytest.raises(ValidationError, match="frozen"):
        spec.size = 3  # type: ignore[misc]
    assert spec == Long(size=2)


def test_a_key_that_is_no_field_is_an_error() -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Long.model_validate({"sise": 2})


@pytest.mark.parametrize(("model", "short"), [(Long, {"const": "off"}), (Plain, {"type": "string"})])
def test_the_short_form_stands_in_the_schema_beside_the_long_one(model: type[Spec], short: dict[str, Any]) -> None:
    schema = model.model_json_schema()
    assert schema["description"] == model.__doc__
    one, other = schema["anyOf"]
    assert one == short
    assert other["properties"]["size"]["description"] == "how large"
    assert other["additionalProperties"] is False
    assert "description" not in other


@pytest.mark.parametrize("value", ["on", "", True, False, 5, 2.5])
def test_a_scalar_is_told_what_to_be(value: object) -> None:
    with pytest.raises(ValueError, match=r"^should be off or a mapping \(key: value\)$"):
        not_scalar(value, "off")


@pytest.mark.parametrize("value", [{"size": 1}, [], None, Long()])
def test_anything_else_is_for_the_model_to_judge(value: object) -> None:
    assert not_scalar(value, "off") is value

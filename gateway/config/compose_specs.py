"""What a composition says: `compose` of a route, its parts and its answer."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from gateway.config.fields import (
    Count,
    HeaderValue,
    JsonValue,
    Method,
    OwnHeaderName,
    PathText,
    Text,
    Timeout,
    distinct,
)
from gateway.config.plugin_use import PluginUse
from gateway.config.spec import Spec, not_scalar, or_short
from gateway.config.upstream_specs import Flag, RetriesSpec
from gateway.units import Duration, Size


class PartCacheSpec(Spec):
    """Answers of a part that are kept: 200s to GET and HEAD, no longer than they allow themselves."""

    model_config = ConfigDict(populate_by_name=True, json_schema_extra=or_short({"type": "string"}))

    seconds: Timeout = Field(alias="for", description="for how long at most")
    size: Size = Field(Size("16MiB"), description="the most bytes of all answers together")

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        return {"for": value} if isinstance(value, str) else not_scalar(value, "a duration")


class InPlaceSpec(Spec):
    """What stands in for a part that failed: exactly one of `value` and `from`."""

    value: JsonValue = Field(None, description="this value, as it is")
    upstream: Text | None = Field(None, alias="from", description="the name of an upstream that is asked instead")
    path: PathText | None = Field(None, description="what that one is asked for; absent is the part's own path")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if ("value" in self.model_fields_set) == (self.upstream is not None):
            raise ValueError("should be exactly one of value and from")
        if self.path is not None and self.upstream is None:
            raise ValueError("path is for another upstream; add from")
        return self


def _kind_of_resort(value: object) -> str:
    return "InPlaceSpec" if isinstance(value, dict | InPlaceSpec) else "word"


# With a discriminator a mistake is told by the member that was meant, and not once by each.
OnError = Annotated[
    Annotated[Literal["fail", "omit", "null"], Tag("word")] | Annotated[InPlaceSpec, Tag("InPlaceSpec")],
    Discriminator(_kind_of_resort),
]


def _alone(text: str) -> str:
    name = text.lower()
    if name == "host":
        raise ValueError("a part is told the client's Host, or what `host` at its upstream says")
    if name in ("accept-encoding", "expect"):
        raise ValueError(f"{text!r} is the gateway's own: a part's answer comes at once and as it is")
    return text


def _own(text: str) -> str:
    if text.lower() in ("etag", "server-timing", "x-gateway-completed"):
        raise ValueError(f"{text!r} is set by the gateway itself")
    return text


def _options(value: object) -> object:
    # Options in a file have become a PluginUse, which knows its place.
    if not isinstance(value, PluginUse):
        raise ValueError("should be a mapping (key: value), the options of the plugin breaker")
    return value


PartHeaderName = Annotated[OwnHeaderName, AfterValidator(_alone)]
PartHeaders = Annotated[dict[PartHeaderName, HeaderValue], AfterValidator(distinct)]
AnswerHeaders = Annotated[dict[Annotated[OwnHeaderName, AfterValidator(_own)], HeaderValue], AfterValidator(distinct)]
BreakerOptions = Annotated[PluginUse, BeforeValidator(_options)]


def _identifier(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise ValueError(f"{text!r} is not a name for a place; use letters, digits and '_'")
    return text


Identifier = Annotated[str, AfterValidator(_identifier)]


class PartSpec(Spec):
    """One service's share of a composition."""

    upstream: Text = Field(alias="from", description="the name of an upstream")
    path: PathText = Field(
        description="what it is asked for, with its query; {id} is a capture, {part.field} of another part, "
        "{query.page:-1} of the request, with what stands for an absent one"
    )
    method: Method = Field("GET", description="the method")
    headers: PartHeaders = Field(
        default_factory=dict, description="its own headers; values may have places as path has"
    )
    forward: tuple[PartHeaderName, ...] = Field(
        (), description="headers of the client's request that it gets; identity and tracing ids it always gets"
    )
    body: JsonValue = Field(
        None, description='sent as JSON, with places in its texts; "{request.body}" passes on what the client sent'
    )
    format: str | dict[str, Any] | None = Field(
        None, description="what it speaks in place of JSON: xml, soap or form, or a mapping of one to its options"
    )
    pick: Text | None = Field(None, description="JMESPath: what of its answer is used")
    group: Text | None = Field(
        None, description="the key that its answer stands under; namespaced: its name, else its fields are merged in"
    )
    required: Flag = Field(False, description="without it there is no answer")
    timeout: Timeout = Field(Duration("5s"), description="for all of it, retries included")
    max_body: Size = Field(Size("1MiB"), description="a longer answer is a failure")
    retries: RetriesSpec | None = Field(None, description="in place of the upstream's own")
    breaker: BreakerOptions | None = Field(None, description="options of the plugin breaker, for this part alone")
    cache: PartCacheSpec | None = Field(None, description="answers are kept for a while")
    when: Text | None = Field(None, description="JMESPath over other parts, captures, query, claims: else not asked")
    foreach: Text | None = Field(None, description="JMESPath to a list: asked once for each item, answers as a list")
    item: Identifier = Field("item", alias="as", description="what an item is called in places")
    max: Count = Field(16, description="items after so many are left out")
    concurrency: Count = Field(4, description="so many are asked at a time")
    on_error: OnError | None = Field(
        None,
        description="fail (the whole answer; for a required part), omit (else), null, {value: ...}, {from: UPSTREAM}",
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_a_word(cls, value: object) -> object:
        # YAML reads `on_error: null` as no text.
        if isinstance(value, dict) and "on_error" in value and value["on_error"] is None:
            return {**value, "on_error": "null"}
        return value


class ComposedSpec(Spec):
    """How parts become one answer."""

    merge: Literal["namespaced", "shallow", "deep"] = Field(
        "namespaced", description="each part under its name, or their fields together; the later part wins"
    )
    status: Literal["required", "any", "all"] = Field(
        "required", description="which parts must have come for a 200: the required ones, also any, or all"
    )
    headers: AnswerHeaders = Field(default_factory=dict, description="of the answer")
    errors: Text | None = Field(None, description="the key of a list of what failed; absent is none")
    timing: Flag = Field(True, description="Server-Timing tells how long each part took")


class ComposeSpec(Spec):
    """Several services' answers as one."""

    timeout: Timeout | None = Field(None, description="for the whole answer; what is missing then has failed")
    parts: dict[Identifier, PartSpec] = Field(min_length=1, description="by name, in the order of the answer")
    respond: ComposedSpec = Field(ComposedSpec(), description="how they become one answer")

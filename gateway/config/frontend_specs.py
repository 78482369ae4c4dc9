"""What the file of a frontend says: an included file with the key `frontend`."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from gateway.config.fields import Bind, Count, HeaderPatterns, MatchedHost, Name, PathText
from gateway.config.plugin_use import PluginUse
from gateway.config.spec import Spec
from gateway.config.specs import RouteSpec, RouteTestSpec
from gateway.config.tls_specs import ListenerTlsSpec
from gateway.units import Size

# Literal segments that every reader of a path takes for the same.
_PREFIX = re.compile(r"(?:/(?!\.)[A-Za-z0-9._~!$&'()+,=:@-]+)+")


def _prefix(text: str) -> str:
    if text == "/":
        raise ValueError("'/' is no prefix; leave `prefix` out")
    if text.endswith("/") and _PREFIX.fullmatch(text[:-1]):
        raise ValueError(f"a prefix ends without '/'; write {text[:-1]}")
    if not _PREFIX.fullmatch(text):
        raise ValueError(f"{text!r} is not a prefix; write plain segments such as /mobile or /app/v2")
    return text


Prefix = Annotated[PathText, AfterValidator(_prefix)]


class FrontendLimitsSpec(Spec):
    """Limits of a frontend; those that are not named are the main file's. Without `bind` only `request_body`."""

    request_head: Size | None = Field(None, description="the largest request line with headers")
    header_count: Count | None = Field(None, description="the most header fields of a request")
    request_body: Size | None = Field(None, description="the largest request body; 0 allows none")
    connections: Count | None = Field(None, description="the most client connections of its listener at a time")


class FrontendSpec(Spec):
    """One frontend with its own routes. All of `hosts`, `prefix` and `headers` that are given must fit a request."""

    name: Name = Field(alias="frontend", description="unique; the label in logs and metrics")
    bind: Bind | None = Field(None, description="HOST:PORT of a listener for this frontend alone")
    tls: ListenerTlsSpec | None = Field(None, description="TLS with clients of that listener; absent is plain HTTP")
    hosts: tuple[MatchedHost, ...] = Field((), description="api.example.com, or *.example.com; any of them")
    prefix: Prefix | None = Field(None, description="what its paths begin with; removed before matching")
    headers: HeaderPatterns = Field(
        default_factory=dict, description="name: value, or ~regular expression for all of it"
    )
    plugins: tuple[PluginUse, ...] = Field((), description="for all its routes, after the top-level plugins")
    limits: FrontendLimitsSpec = Field(FrontendLimitsSpec(), description="in place of the main file's")
    routes: tuple[RouteSpec, ...] = Field((), description="which requests go where; no others are asked")
    tests: tuple[RouteTestSpec, ...] = Field((), description="requests as if they came to this frontend")

    @model_validator(mode="after")
    def _fits_tls(self) -> Self:
        if self.tls is not None and self.bind is None:
            raise ValueError("tls is for a listener of its own; add bind, or write it at the gateway's listeners")
        return self

    @property
    def has_conditions(self) -> bool:
        """Can it be chosen by what a request asks for?"""
        return bool(self.hosts or self.prefix or self.headers)

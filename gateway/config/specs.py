"""What a configuration says, as frozen models: one class a mapping of routes.yaml, one field a key.

Only what one value says by itself is checked here. What concerns several values (exactly one target, names that must
exist) is in `checks`, which also sees files that do not validate.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from gateway.config.compose_specs import ComposeSpec
from gateway.config.fields import (
    AppReference,
    Bind,
    Count,
    FileMode,
    HeaderName,
    HeaderPatterns,
    Headers,
    JsonValue,
    Location,
    MatchedHost,
    Method,
    Name,
    Number,
    OwnHeaders,
    PathText,
    QueryPatterns,
    RequestLine,
    Text,
    Timeout,
    Token,
    TrustedPeer,
    Whole,
)
from gateway.config.plugin_use import PluginUse
from gateway.config.spec import Spec, or_text
from gateway.config.state_specs import MemorySpec, StateSpec
from gateway.config.tls_specs import HttpsRedirectSpec, ListenerTlsSpec
from gateway.config.upstream_specs import Forwarded, KeySpec, UpstreamSpec
from gateway.units import Duration, Secret, Share, Size


def _targets(value: object) -> object:
    return [{"upstream": value}] if isinstance(value, str) else value


class BindSpec(Spec):
    """An address to listen on."""

    bind: Bind = Field(description="HOST:PORT, or unix:PATH")
    mode: FileMode | None = Field(None, description='permissions of a Unix socket, such as "0660"; absent is 0600')

    @model_validator(mode="after")
    def _with_mode(self) -> Self:
        if self.mode is not None:
            if not self.bind.path.startswith("/"):
                raise ValueError("mode is for a Unix socket with a path")
            # The model is frozen, and not shared yet.
            object.__setattr__(self, "bind", replace(self.bind, mode=int(self.mode, 8)))
        return self


class PassthroughSpec(Spec):
    """TLS connections that are not opened here but go on to an upstream as they are."""

    names: tuple[MatchedHost, ...] = Field(
        min_length=1, description="server names (SNI) that clients ask for: grpc.example.com, or *.example.com"
    )
    to: str = Field(description="the name of an upstream")
    idle: Timeout = Field(Duration("1h"), description="a connection on which nothing passes for so long is closed")


class ListenerSpec(BindSpec):
    """An address that clients connect to."""

    bind: Bind = Field(description="HOST:PORT; :PORT is every interface, port 0 one that the system picks; unix:PATH")
    half_close: Literal["abort", "allow"] = Field(
        "abort", description="a client that closes its sending side: abort its request, or allow it to read the answer"
    )
    tls: ListenerTlsSpec | None = Field(None, description="TLS with clients; absent is plain HTTP")
    redirect: HttpsRedirectSpec | None = Field(
        None, description="https: answer every request with the same URL by HTTPS; nothing is routed"
    )

    @model_validator(mode="after")
    def _fits_tls(self) -> Self:
        if self.tls is not None and self.redirect is not None:
            raise ValueError("redirect is for a listener without tls, where clients come by plain HTTP")
        if self.tls is not None and self.half_close == "allow":
            raise ValueError("over TLS no client closes one side alone; leave half_close out")
        return self

    proxy_protocol: tuple[TrustedPeer, ...] = Field(
        (), description="networks of proxies, or unix, that begin each connection with a PROXY header; they have to"
    )
    passthrough: tuple[PassthroughSpec, ...] = Field((), description="TLS that goes on to upstreams by its server name")


class AdminSpec(BindSpec):
    """The admin listener: health, metrics, API and dashboard."""

    bind: Bind = Field(Bind("127.0.0.1", 9901), description="HOST:PORT of the admin listener, or unix:PATH")
    token: Secret | None = Field(None, description="the bearer token; required when bind is not loopback")
    public: tuple[PathText, ...] = Field((), description="paths that need no token, such as /metrics")
    hosts: tuple[MatchedHost, ...] = Field((), description="Host names to answer besides IP literals and localhost")


class LimitsSpec(Spec):
    """What a client may send, and how many clients there may be."""

    request_head: Size = Field(Size("32KiB"), description="the largest request line with headers")
    header_count: Count = Field(128, description="the most header fields of a request")
    request_body: Size = Field(Size("10MiB"), description="the largest request body; 0 allows none")
    connections: Count = Field(20_000, description="the most client connections at a time")


class TimeoutsSpec(Spec):
    """How long the gateway waits for clients."""

    request_head: Timeout = Field(
        Duration("10s"), description="from the first byte of a request to the end of its head"
    )
    request_body: Timeout = Field(Duration("30s"), description="for each KiB of a request body, or what is left")
    idle: Timeout = Field(Duration("75s"), description="how long a connection may wait for its next request")
    drain: Duration = Field(
        Duration("30s"), description="all the time from a stop's signal on until requests in flight are cut"
    )
    grace: Duration = Field(
        Duration("0s"), description="how long after a stop's signal new connections are still taken, within `drain`"
    )


class ReloadSpec(Spec):
    """When the configuration is read again without being asked."""

    watch: bool = Field(False, description="when its files have changed, those that an include matches too")
    interval: Timeout = Field(Duration("1s"), description="between two looks; two in a row must find the same")


class MatchSpec(Spec):
    """What a request must look like; a route without any matches all."""

    host: MatchedHost | None = Field(None, description="api.example.com, or *.example.com; absent is every host")
    path: PathText = Field("/**", description="a pattern: /a, /a/{id}, /a/{id:[0-9]+}, /a/*, /a/**")
    methods: Annotated[tuple[Method, ...], Field(min_length=1)] | None = Field(
        None, description="GET, POST, ...; GET implies HEAD; absent is every method"
    )
    headers: HeaderPatterns = Field(
        default_factory=dict, description="name: value, or ~regular expression for all of it"
    )
    query: QueryPatterns = Field(default_factory=dict, description="name: value, or ~regular expression for all of it")


class TargetSpec(Spec):
    """One upstream of a weighted list."""

    upstream: str = Field(description="the name of an upstream")
    weight: Annotated[Whole, Field(ge=0)] = Field(1, description="its part of the requests; 0 is none")


Targets = Annotated[tuple[TargetSpec, ...], BeforeValidator(_targets), Field(min_length=1, json_schema_extra=or_text)]


class RedirectSpec(Spec):
    """Answer with another place to go to."""

    to: Location = Field(description="a path or a URL; {name} and {**} put in what was captured")
    status: Annotated[Literal[301, 302, 303, 307, 308], Number] = Field(307, description="the status of the answer")


class RespondSpec(Spec):
    """Answer at once, without an upstream."""

    status: Annotated[Whole, Field(ge=200, le=599)] = Field(200, description="200 to 599")
    text: str | None = Field(None, description="the body as plain text")
    json_body: JsonValue = Field(None, alias="json", description="the body as JSON")
    headers: OwnHeaders = Field(default_factory=dict, description="more headers of the answer")


class EditSpec(Spec):
    """Changes to a query: `remove` first, then `set`, then `add`."""

    add: dict[str, str] = Field(default_factory=dict, description="put in beside what is there")
    set: dict[str, str] = Field(default_factory=dict, description="put in instead of what is there")
    remove: tuple[str, ...] = Field((), description="take out")


class HeaderEditSpec(EditSpec):
    """Changes to headers: `remove` first, then `set`, then `add`."""

    add: OwnHeaders = Field(default_factory=dict, description="put in beside what is there")
    set: OwnHeaders = Field(default_factory=dict, description="put in instead of what is there")
    remove: tuple[HeaderName, ...] = Field((), description="take out")


class RewriteSpec(Spec):
    """What the upstream gets instead of what the client sent."""

    path: PathText | None = Field(None, description="the new path; {name} and {**} put in what was captured")
    query: EditSpec | None = Field(None, description="changes to the query")
    headers: HeaderEditSpec | None = Field(None, description="changes to the headers")


class MirrorSpec(Spec):
    """A copy of requests for another upstream, whose answers nobody reads."""

    to: str = Field(description="the name of an upstream")
    share: Share = Field(Share("100%"), description="the part of the requests that is copied")
    body: Size = Field(Size("64KiB"), description="a request with a longer body is not copied")


class RouteTimeoutsSpec(Spec):
    """How long a request on this route may take."""

    total: Timeout | None = Field(
        None, description="from its head to the end of the answer, with retries, queues and fallback"
    )


class WebSocketSpec(Spec):
    """What WebSockets of a route may do."""

    idle: Timeout = Field(Duration("1h"), description="one ends when no byte has passed, either way, for so long")
    connections: Count | None = Field(None, description="the most at a time; absent is any number")


class RouteSpec(Spec):
    """Which requests, and what becomes of them: exactly one of `to`, `redirect`, `respond`, `compose` and `app`."""

    name: Name = Field(description="unique; the label in logs and metrics")
    match: MatchSpec = Field(MatchSpec(), description="which requests")
    priority: Whole = Field(0, description="the higher goes first, before any other rule")
    to: Targets | None = Field(None, description="the upstream, or a weighted list of upstreams")
    redirect: RedirectSpec | None = Field(None, description="answer with another place to go to")
    respond: RespondSpec | None = Field(None, description="answer at once")
    compose: ComposeSpec | None = Field(None, description="answer with what several services say")
    app: AppReference | None = Field(
        None, description="module:attribute, an aiohttp web.Application or a function that makes one"
    )
    rewrite: RewriteSpec | None = Field(None, description="what the upstream gets instead; with `to` and `app` only")
    sticky: KeySpec | None = Field(
        None, description="requests that agree in this go to the same upstream of a weighted list; with `to` only"
    )
    mirror: MirrorSpec | None = Field(None, description="a copy for another upstream; with `to` and `app` only")
    importance: Literal["low", "normal", "high"] = Field(
        "normal", description="who is refused first when an upstream's concurrency is used up; high never is"
    )
    timeouts: RouteTimeoutsSpec = Field(RouteTimeoutsSpec(), description="how long a request may take")
    upgrade: tuple[Literal["websocket"], ...] | None = Field(
        None, description="what a request may go on as; absent is nothing with `to`, and [websocket] with `app`"
    )
    websocket: WebSocketSpec = Field(WebSocketSpec(), description="what WebSockets of this route may do")
    plugins: tuple[PluginUse, ...] = Field((), description="run after the top-level plugins, in this order")


class ExpectSpec(Spec):
    """What a route test expects; at least one of these."""

    route: str | None = Field(None, description="the name of the route that wins")
    upstream: str | None = Field(None, description="the upstream it goes to")
    path: str | None = Field(None, description="the path that the upstream gets")
    status: Annotated[Whole, Field(ge=100, le=599)] | None = Field(None, description="the gateway's own answer")


class RouteTestSpec(Spec):
    """A request and what should become of it; `gateway check` runs it."""

    request: RequestLine = Field(description="METHOD URL")
    headers: Headers = Field(default_factory=dict, description="headers of the request")
    expect: ExpectSpec = Field(description="what should become of it")


class ConfigSpec(Spec):
    """A whole configuration: routes.yaml with its includes."""

    version: Annotated[Literal[1], Number] = Field(description="the version of this format")
    name: Token = Field("gateway", description="pseudonym in Via and Proxy-Status, service.name in logs and traces")
    listeners: tuple[ListenerSpec, ...] = Field(
        (ListenerSpec(bind=Bind("0.0.0.0", 8080)),), min_length=1, description="where clients connect"
    )
    admin: AdminSpec = Field(AdminSpec(), description="health, metrics, API and dashboard")
    trusted_proxies: tuple[TrustedPeer, ...] = Field(
        (), description="networks, or unix, whose X-Forwarded-*, Forwarded and traceparent are believed"
    )
    limits: LimitsSpec = Field(LimitsSpec(), description="what a client may send")
    timeouts: TimeoutsSpec = Field(TimeoutsSpec(), description="how long to wait for clients")
    reload: ReloadSpec = Field(ReloadSpec(), description="when to read this file again")
    forwarded: Forwarded = Field("x-forwarded", description="which headers tell upstreams of the client")
    state: StateSpec = Field(StateSpec(memory=MemorySpec()), description="where plugins keep what instances share")
    plugins: tuple[PluginUse, ...] = Field((), description="for every route, in this order")
    upstreams: dict[Name, UpstreamSpec] = Field(default_factory=dict, description="services that requests are sent to")
    routes: tuple[RouteSpec, ...] = Field((), description="which requests go where")
    include: tuple[Text, ...] = Field(
        (), description="globs, relative to this file, of files with more routes, upstreams and tests"
    )
    tests: tuple[RouteTestSpec, ...] = Field((), description="requests and what should become of them")

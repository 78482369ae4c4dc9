"""What a configuration says about upstreams: endpoints, balance, health, retries, hedging and concurrency."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Strict,
    Tag,
    WithJsonSchema,
    model_validator,
)

from gateway.config.fields import (
    Count,
    EndpointUrl,
    Expression,
    HeaderName,
    PathText,
    StatusRange,
    Text,
    Timeout,
    Token,
    UpstreamHost,
    Whole,
    endpoint_host_port,
    join_host_port,
)
from gateway.config.problems import closest
from gateway.config.spec import Spec, not_scalar, or_short, or_text
from gateway.config.tls_specs import UpstreamTlsSpec
from gateway.units import Duration, Share, Size

Forwarded = Literal["x-forwarded", "rfc7239"]
Algorithm = Literal["round_robin", "least_request", "random", "ewma"]
Flag = Annotated[bool, Strict()]
Factor = Annotated[float, Strict(), Field(allow_inf_nan=False)]
KEYS = ("header", "cookie", "query", "capture", "client_ip", "path")


CONDITIONS = ("connect", "reset", "timeout", "5xx", "502", "503", "504", "429")


def _condition(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


RetryCondition = Annotated[
    Literal["connect", "reset", "timeout", "5xx", "502", "503", "504", "429"],
    BeforeValidator(_condition),
    # To YAML a status is a number, unless it is quoted.
    WithJsonSchema({"enum": [*CONDITIONS, 502, 503, 504, 429]}),
]


class EndpointSpec(Spec):
    """One address of an upstream: a URL, or a mapping with `url`, `weight` and `priority`."""

    model_config = ConfigDict(json_schema_extra=or_text)

    url: EndpointUrl = Field(
        description="http://HOST:PORT or https://HOST:PORT, the port 80 or 443 when absent, or unix:PATH"
    )
    weight: Count = Field(1, description="its part of the requests, next to the other endpoints' weights")
    priority: Annotated[Whole, Field(ge=0)] = Field(
        0, description="endpoints of a higher number get requests only while no lower one is available"
    )

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        return {"url": value} if isinstance(value, str) else value

    @property
    def host(self) -> str:
        """The host in lower case, a v6 address without brackets; `unix:PATH` of a Unix socket."""
        return endpoint_host_port(self.url)[0]

    @property
    def port(self) -> int:
        """The port, 0 of a Unix socket."""
        return endpoint_host_port(self.url)[1]

    @property
    def secure(self) -> bool:
        """Is TLS spoken there?"""
        return self.url.lower().startswith("https:")

    @property
    def address(self) -> str:
        """`host:port`, a v6 address in brackets, or `unix:PATH`."""
        return join_host_port(self.host, self.port)


class KeySpec(Spec):
    """What of a request decides, so that requests which agree in it go the same way: exactly one of these."""

    model_config = ConfigDict(json_schema_extra=or_short({"enum": ["client_ip", "path"]}))

    header: HeaderName | None = Field(None, description="a header's value")
    cookie: Token | None = Field(None, description="a cookie's value")
    query: str | None = Field(None, description="a query parameter's value")
    capture: str | None = Field(None, description="what {NAME} of the route's path captured")
    client_ip: Flag = Field(False, description="the client's address")
    path: Flag = Field(False, description="the raw path")

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        if value not in ("client_ip", "path"):
            hint = closest(value, ("client_ip", "path")) or f"write {{header: {value}}}"
            raise ValueError(f"should be client_ip, path or a mapping (key: value), not {value!r}; {hint}")
        return {value: True}

    @model_validator(mode="after")
    def _one(self) -> Self:
        if len(self.given()) != 1:
            raise ValueError("should be exactly one of header, cookie, query, capture, client_ip and path")
        return self

    def given(self) -> list[tuple[str, str]]:
        """(kind, name) of each that is set; the name is "" where there is none."""
        values = [(kind, getattr(self, kind)) for kind in KEYS]
        return [(kind, "" if value is True else value) for kind, value in values if value]


class HashSpec(KeySpec):
    """Consistent hashing of what requests agree in."""

    max_load: Annotated[Factor, Field(gt=1)] | None = Field(
        None, description="how much more than its part an endpoint may have in flight, such as 1.25; absent is no limit"
    )


class HashBalanceSpec(Spec):
    """Requests that agree in something go to the same endpoint."""

    hash: HashSpec = Field(description="in what they agree")


class StickySpec(Spec):
    """The cookie that names a client's endpoint."""

    cookie: Token | None = Field(None, description="the cookie's name; absent is gateway_endpoint_UPSTREAM")
    ttl: Timeout | None = Field(None, description="how long the browser keeps it; absent is until it closes")


class StickyBalanceSpec(Spec):
    """A client stays at the endpoint it was given first, by a cookie."""

    sticky: StickySpec = Field(description="the cookie")


def _kind_of_balance(value: object) -> str:
    if isinstance(value, StickyBalanceSpec) or (isinstance(value, dict) and any(_is_sticky(key) for key in value)):
        return "StickyBalanceSpec"
    return "HashBalanceSpec" if isinstance(value, dict | HashBalanceSpec) else "Algorithm"


def _is_sticky(key: object) -> bool:
    return bool(closest(key, ("sticky",)))


# With a discriminator a mistake is told by the member that was meant, and not once by each.
Balance = Annotated[
    Annotated[Algorithm, Tag("Algorithm")]
    | Annotated[HashBalanceSpec, Tag("HashBalanceSpec")]
    | Annotated[StickyBalanceSpec, Tag("StickyBalanceSpec")],
    Discriminator(_kind_of_balance),
]


class HealthSpec(Spec):
    """Active checks: by HTTP with `path`, else whether the port takes connections."""

    path: PathText | None = Field(None, description="what to GET; absent is a check of the TCP connection alone")
    host: Text | None = Field(None, description="the Host to send; absent is the endpoint's own")
    interval: Timeout = Field(Duration("5s"), description="from one check to the next")
    timeout: Timeout = Field(Duration("2s"), description="how long a check may take")
    status: Annotated[tuple[StatusRange, ...], Field(min_length=1)] = Field(
        ("200-399",), description="the statuses that pass: 200, 2xx or 200-399"
    )
    body: Expression | None = Field(None, description="a regular expression that the first 64 KiB must hold")
    passes: Count = Field(2, description="how many in a row bring an endpoint back")
    failures: Count = Field(3, description="how many in a row take an endpoint out; the very first decides alone")

    @model_validator(mode="after")
    def _has_path(self) -> Self:
        for key in ("host", "status", "body"):
            if self.path is None and key in self.model_fields_set and getattr(self, key) is not None:
                raise ValueError(f"{key} is for a check by HTTP; add path")
        return self


class SuccessRateSpec(Spec):
    """Takes out an endpoint that does worse than the others."""

    interval: Timeout = Field(Duration("10s"), description="how often they are compared")
    requests: Count = Field(100, description="an endpoint with fewer in the interval is left out of it")
    endpoints: Count = Field(5, description="with fewer endpoints to compare nothing happens")
    deviations: Annotated[Factor, Field(gt=0)] = Field(1.9, description="how many standard deviations below the mean")

    @model_validator(mode="before")
    @classmethod
    def _not_scalar(cls, value: object) -> object:
        return not_scalar(value, "off")


def _kind_of_rate(value: object) -> str:
    return "off" if value == "off" else "SuccessRateSpec"


class OutliersSpec(Spec):
    """Takes an endpoint that fails requests out for a while; `off` never does."""

    model_config = ConfigDict(json_schema_extra=or_short({"const": "off"}))

    errors: Annotated[Whole, Field(ge=0)] = Field(
        5, description="so many failures in a row: 5xx, resets, timeouts, connects; 0 is off"
    )
    connect_errors: Annotated[Whole, Field(ge=0)] = Field(
        5, description="so many connections in a row that could not be opened; 0 is off"
    )
    success_rate: Annotated[
        Annotated[Literal["off"], Tag("off")] | Annotated[SuccessRateSpec, Tag("SuccessRateSpec")],
        Discriminator(_kind_of_rate),
    ] = Field(SuccessRateSpec(), description="when it does worse than the others; off is never")
    ejection: Timeout = Field(Duration("5s"), description="for how long, times how often it happened in a row")
    max_ejection: Timeout = Field(Duration("60s"), description="the longest time out")
    max_ejected: Share = Field(
        Share("50%"), description="the part that may be out at a time, rounded down; never the last"
    )

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        if value == "off":
            return {"errors": 0, "connect_errors": 0, "success_rate": "off"}
        return not_scalar(value, "off")


class BackoffSpec(Spec):
    """The pause before another attempt: random, up to a length that doubles with each round over the endpoints.

    After a failure without an answer, an endpoint that was not tried yet is asked without a pause.
    """

    base: Duration = Field(Duration("25ms"), description="the longest pause in the first round")
    max: Duration = Field(Duration("250ms"), description="the longest pause of all")


class RetriesSpec(Spec):
    """Another attempt, at another endpoint where there is one, when the first one failed."""

    attempts: Annotated[Whole, Field(ge=1)] = Field(2, description="all tries, the first included")
    on: Annotated[tuple[RetryCondition, ...], Field(min_length=1)] = Field(
        ("connect", "reset", "503"), description="after which failures"
    )
    per_try: Timeout | None = Field(None, description="how long each try may wait for the head of an answer")
    non_idempotent: Flag = Field(
        False, description="also POST and PATCH; without it only those that carry an Idempotency-Key"
    )
    budget: Share = Field(Share("20%"), description="the most retries, as a part of the requests in flight")
    min_retries: Annotated[Whole, Field(ge=0)] = Field(3, description="so many are allowed whatever the budget")
    backoff: BackoffSpec = Field(
        BackoffSpec(),
        description="the pause before another attempt, after an answer or at the same endpoint",
    )
    max_retry_after: Duration = Field(
        Duration("1s"), description="an answer whose Retry-After asks for a longer pause is not tried again"
    )
    replay: Size = Field(Size("64KiB"), description="the longest request body that is kept for another attempt")


class HedgeSpec(Spec):
    """A second attempt at another endpoint while the first one is slow; the first answer counts. Idempotent only."""

    after: Timeout = Field(description="how long the first attempt may take before the second begins")
    budget: Share = Field(
        Share("10%"), description="the most second attempts, as a part of the requests in flight; 3 are always allowed"
    )


class AdaptiveSpec(Spec):
    """A limit that follows the latency: it falls when answers become slow, and grows again."""

    algorithm: Literal["gradient", "aimd"] = Field("gradient", description="how the limit is found")
    start: Count = Field(20, description="the first limit")
    min: Count = Field(4, description="the lowest limit")
    max: Count = Field(1000, description="the highest limit")
    latency: Timeout | None = Field(None, description="aimd: an answer that takes longer lowers the limit")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not self.min <= self.start <= self.max:
            raise ValueError(f"start should lie between min and max, {self.min} and {self.max}")
        if (self.latency is not None) != (self.algorithm == "aimd"):
            raise ValueError("latency belongs to aimd, which needs it; gradient learns what is usual")
        return self


class ConcurrencySpec(Spec):
    """How many requests may be at the upstream at a time; more are refused with 503."""

    model_config = ConfigDict(json_schema_extra=or_short({"type": "integer", "minimum": 1}))

    limit: Count | None = Field(None, description="a fixed number")
    adaptive: AdaptiveSpec | None = Field(None, description="a number found by the latency, by each worker for itself")

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, value: object) -> object:
        if isinstance(value, int) and not isinstance(value, bool):
            return {"limit": value}
        return not_scalar(value, "a whole number")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.limit is None) == (self.adaptive is None):
            raise ValueError("should be exactly one of limit and adaptive")
        return self


class UpstreamTimeoutsSpec(Spec):
    """How long the gateway waits for an upstream."""

    connect: Timeout = Field(Duration("1s"), description="to open a connection")
    response: Timeout = Field(Duration("30s"), description="from the end of the request to the head of the answer")
    body: Timeout = Field(Duration("30s"), description="between two slices of the answer's body")
    total: Timeout | None = Field(None, description="from the start to the end of the answer; absent is no limit")


class PoolSpec(Spec):
    """The connections to one endpoint."""

    max_connections: Count = Field(256, description="the most connections at a time, of each worker")
    max_queue: Annotated[Whole, Field(ge=0)] = Field(1024, description="the most requests that wait for one")
    queue_timeout: Duration = Field(Duration("500ms"), description="how long a request waits for one")
    idle: Duration = Field(Duration("60s"), description="how long an unused connection is kept")
    max_age: Timeout = Field(Duration("10m"), description="how old a connection may grow before it is replaced")


class UpstreamSpec(Spec):
    """A service that requests are sent to."""

    endpoints: tuple[EndpointSpec, ...] = Field(min_length=1, description="where it is, one or more")
    balance: Balance = Field("round_robin", description="how an endpoint is chosen")
    slow_start: Timeout | None = Field(
        None, description="how long an endpoint that comes back takes to get its whole part; absent is at once"
    )
    panic: Share = Field(
        Share("0"), description="with a smaller part of the endpoints healthy, all get requests; 0 is never"
    )
    health: HealthSpec | None = Field(None, description="active checks; absent is none")
    outliers: OutliersSpec = Field(
        OutliersSpec(), description="endpoints that fail requests are left out for a while; off is never"
    )
    retries: RetriesSpec | None = Field(None, description="another attempt after a failure; absent is none")
    hedge: HedgeSpec | None = Field(None, description="a second attempt while the first is slow; absent is none")
    concurrency: ConcurrencySpec | None = Field(None, description="the most requests at a time; absent is no limit")
    timeouts: UpstreamTimeoutsSpec = Field(UpstreamTimeoutsSpec(), description="how long to wait for it")
    pool: PoolSpec = Field(PoolSpec(), description="connections to each endpoint")
    proxy_protocol: Literal["v1", "v2"] | None = Field(
        None, description="begin each connection with who the client is; it is then used for that client alone"
    )
    host: UpstreamHost = Field("client", description="the Host it gets: the client's, the upstream's own, or a name")
    forwarded: Forwarded | None = Field(None, description="as the top-level key, for this upstream alone")
    tls: UpstreamTlsSpec = Field(UpstreamTlsSpec(), description="TLS with endpoints whose URL begins with https://")

    @model_validator(mode="after")
    def _speaks_tls(self) -> Self:
        if "tls" in self.model_fields_set and not any(one.secure for one in self.endpoints):
            raise ValueError("tls without an endpoint that speaks it; write https:// in endpoints")
        return self

"""What a configuration says about the state that plugins share: where it is kept."""

from __future__ import annotations

from typing import Annotated, NamedTuple, Self

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, ValidationInfo, model_validator

from gateway.config.fields import Count, Text, Timeout, Whole, join_host_port, split_host_port
from gateway.config.spec import Spec, not_scalar, or_text
from gateway.config.upstream_specs import Flag
from gateway.units import Duration, Secret

REDIS_EXAMPLE = "redis://127.0.0.1:6379/0"
REDIS_PORT = 6379
MEMCACHED_PORT = 11211
WAYS = ("url", "sentinel", "cluster")
STORES = ("memory", "redis", "memcached")


class RedisAddress(NamedTuple):
    """What a URL says: `host` in lower case, a v6 address without brackets; `db` is 0 where it names none."""

    host: str
    port: int
    db: int
    tls: bool


def redis_address(url: str) -> RedisAddress:
    """The parts of `redis://HOST:PORT/DB`, or `rediss://` for TLS. ValueError for anything else."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("redis", "rediss"):
        raise ValueError(f"{url!r} is not a URL of a Redis server; write one such as {REDIS_EXAMPLE}")
    authority, _, path = rest.partition("/")
    if "?" in rest or "#" in rest:
        raise ValueError("the URL of a Redis server has no query; write its options beside `url:`")
    host, port = split_host_port(authority, REDIS_EXAMPLE)
    if not host or port == 0:
        raise ValueError(f"{url!r} has no {'port' if host else 'host'}; write one such as {REDIS_EXAMPLE}")
    if path and not (path.isascii() and path.isdigit() and len(path) <= 4):
        raise ValueError(f"{path!r} is not the number of a database; write one such as {REDIS_EXAMPLE}")
    return RedisAddress(host, port or REDIS_PORT, int(path or 0), scheme == "rediss")


def host_and_port(address: str, default: int) -> tuple[str, int]:
    """`HOST:PORT`, or `HOST` with the default port, in its parts. ValueError for anything else."""
    host, port = split_host_port(address, f"127.0.0.1:{default}")
    if not host or port == 0:
        raise ValueError(f"{address!r} has no {'port' if host else 'host'}; write one such as 127.0.0.1:{default}")
    return host, port or default


def _redis_url(url: str, info: ValidationInfo) -> str:
    # Whatever such a text is, it may hold a password: then nobody shows it.
    if ("@" in url or "?" in url) and isinstance(info.context, set):
        info.context.add(url)
    if "@" in url:
        raise ValueError(
            "user and password have no place in the URL; write `username:` and `password: ${REDIS_PASSWORD}` beside it"
        )
    redis_address(url)
    return url


def _node(default: int) -> AfterValidator:
    return AfterValidator(lambda text: join_host_port(*host_and_port(text, default)))


RedisUrl = Annotated[str, AfterValidator(_redis_url)]
RedisNode = Annotated[str, _node(REDIS_PORT)]
SentinelNode = Annotated[str, _node(26379)]
MemcachedAddress = Annotated[str, _node(MEMCACHED_PORT)]
MemcachedPrefix = Annotated[str, StringConstraints(pattern=r"^[!-~]{0,128}$")]


class MemorySpec(Spec):
    """The memory of this process: nothing is shared, nothing outlives it."""

    entries: Count = Field(100_000, description="the most entries; the longest unused goes first")


class SentinelSpec(Spec):
    """Redis servers, of which Sentinels know the master."""

    nodes: tuple[SentinelNode, ...] = Field(min_length=1, description="HOST:PORT of the Sentinels, the port 26379")
    service: Text = Field(description="the name under which they know it")
    password: Secret | None = Field(None, description="the Sentinels' own; that of the servers is beside `sentinel`")


class ClusterSpec(Spec):
    """A Redis Cluster."""

    nodes: tuple[RedisNode, ...] = Field(
        min_length=1, description="HOST:PORT of some of its nodes, the port 6379; they know the others"
    )


class RedisSpec(Spec):
    """A Redis server, one that Sentinels watch, or a cluster: exactly one of `url`, `sentinel` and `cluster`."""

    model_config = ConfigDict(json_schema_extra=or_text)

    url: RedisUrl | None = Field(None, description="redis://HOST:PORT/DB, rediss:// with TLS; no password")
    sentinel: SentinelSpec | None = Field(None, description="the Sentinels that know the server")
    cluster: ClusterSpec | None = Field(None, description="the cluster's nodes")
    username: Text | None = Field(None, description="the user; absent is Redis's default user")
    password: Secret | None = Field(None, description="the user's password")
    db: Annotated[Whole, Field(ge=0)] | None = Field(None, description="with sentinel: the database's number, else 0")
    tls: Flag | None = Field(None, description="with sentinel and cluster: connect with TLS; a URL says rediss://")
    timeout: Timeout = Field(Duration("50ms"), description="the longest that a request waits for a call to end")
    connect_timeout: Timeout = Field(
        Duration("100ms"), description="to open a connection; a request waits no longer than `timeout` for that either"
    )
    retries: Annotated[Whole, Field(ge=0)] = Field(
        1, description="how often a call is sent again when its connection breaks, within `timeout`"
    )
    max_connections: Count = Field(64, description="the most connections to a server; more calls wait")
    prefix: str = Field("aiogate:", description="how every key begins")

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        return {"url": value} if isinstance(value, str) else not_scalar(value, f"a URL such as {REDIS_EXAMPLE}")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if sum(getattr(self, way) is not None for way in WAYS) != 1:
            raise ValueError("should be exactly one of url, sentinel and cluster")
        if self.db is not None and self.sentinel is None:
            hint = f"write {REDIS_EXAMPLE}" if self.url else "a cluster has one database only"
            raise ValueError(f"db is for sentinel; {hint}")
        if self.tls is not None and self.url is not None:
            raise ValueError("tls is for sentinel and cluster; write rediss:// in the URL")
        return self


class MemcachedSpec(Spec):
    """A memcached server; it needs the extra `aiogate[memcached]`."""

    model_config = ConfigDict(json_schema_extra=or_text)

    address: MemcachedAddress = Field(description="HOST:PORT, the port 11211")
    timeout: Timeout = Field(Duration("50ms"), description="the longest that a request waits for a call to end")
    max_connections: Count = Field(64, description="the most connections; more calls wait")
    prefix: MemcachedPrefix = Field("aiogate:", description="how every key begins")

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        return {"address": value} if isinstance(value, str) else not_scalar(value, "HOST:PORT")


class StateSpec(Spec):
    """Where plugins keep the state that instances of the gateway share: exactly one of these."""

    memory: MemorySpec | None = Field(None, description="this process's memory, which is shared with nobody")
    redis: RedisSpec | None = Field(None, description="a Redis server, or more of them")
    memcached: MemcachedSpec | None = Field(None, description="a memcached server")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(getattr(self, store) is not None for store in STORES) != 1:
            raise ValueError(f"should be exactly one of {', '.join(STORES[:-1])} and {STORES[-1]}")
        return self

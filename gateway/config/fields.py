"""The field types of the specs: what a name, a bind, a header, a host or a network may look like."""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, Strict, StringConstraints, WithJsonSchema
from pydantic_core import CoreSchema, core_schema

from gateway.app_names import checked_reference
from gateway.units import Duration, status_range

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")
_HOST_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"{_HOST_LABEL}(?:\.{_HOST_LABEL})*|\[[0-9a-f:.]+\]")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_SPACE_OR_CONTROL = re.compile(r"[\x00-\x20\x7f]")

DEFAULT_PORTS = {"http": 80, "https": 443}
UNIX = "unix:"
# `sun_path` has 108 bytes on Linux and 104 on macOS and the BSDs, the last one a NUL (unix(7)).
UNIX_PATH_BYTES = 103

# The gateway frames every message itself.
_FRAMING = frozenset(("connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"))


@dataclass(frozen=True, slots=True)
class Bind:
    """Where a listener listens. `host` "" is every interface, `port` 0 one that the system picks. With `path` it is a
    Unix socket, `@name` one in the abstract namespace of Linux; `mode` are the permissions of its file."""

    host: str
    port: int
    path: str = ""
    mode: int = field(default=0o600, compare=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `0.0.0.0:8080`, `[::]:8080`, `localhost:8080`, `:8080` for every interface, or `unix:/run/a.sock`."""
        if text.startswith(UNIX):
            return cls("", 0, unix_path(text))
        host, port = split_host_port(text, "0.0.0.0:8080")
        if port is None:
            raise ValueError(f"{text!r} has no port; write {text}:8080")
        return cls(host, port)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        if self.path or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"{UNIX}{self.path}" if self.path else join_host_port(self.host, self.port)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def validate(value: object) -> Bind:
            if isinstance(value, cls):
                return value
            if not isinstance(value, str):
                raise ValueError("should be HOST:PORT such as 0.0.0.0:8080, or unix:PATH")
            return cls.parse(value)

        return core_schema.no_info_plain_validator_function(
            validate, serialization=core_schema.plain_serializer_function_ser_schema(str, when_used="json")
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "examples": ["0.0.0.0:8080", "[::]:8080", ":8080", "unix:/run/aiogate.sock"]}


def split_host_port(text: str, example: str) -> tuple[str, int | None]:
    """`host:port`, `[v6]:port` or `host` in its parts, the host in lower case and a v6 address without brackets."""
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+(?:%[\w.-]+)?\]|[^:\[\]/@?#\s]*)(?::([0-9]{1,5}))?", text, re.ASCII)
    if match is None:
        raise ValueError(f"{text!r} is not HOST:PORT; write one such as {example}")
    host = match[1].lower()
    if host.startswith("["):
        host = host[1:-1]
        if _address(host) is None:
            raise ValueError(f"{host!r} is not an IPv6 address")
    elif host and re.fullmatch(r"[0-9.]+", host) and _address(host) is None:
        raise ValueError(f"{host!r} is not an IPv4 address")
    elif host and not _HOST.fullmatch(host):
        raise ValueError(f"{host!r} is not a host name")
    port = int(match[2]) if match[2] else None
    if port is not None and port > 65535:
        raise ValueError(f"{port} is not a port; the highest is 65535")
    return host, port


def unix_path(text: str) -> str:
    """What stands behind `unix:`, an absolute path or `@name`; `unix:///run/a.sock` is `unix:/run/a.sock`."""
    path = text.removeprefix(UNIX)
    path = path.removeprefix("//")
    if not path.startswith("/") and not re.fullmatch(r"@[\w.-]+", path, re.ASCII):
        raise ValueError(f"{text!r} is not a Unix socket; write unix:/run/name.sock, or unix:@name for an abstract one")
    if _SPACE_OR_CONTROL.search(path) or path.endswith("/"):
        raise ValueError(f"{text!r} holds blanks, or is a folder; write unix:/run/name.sock")
    if len(path.encode()) > UNIX_PATH_BYTES:
        raise ValueError(
            f"the path of a Unix socket has {UNIX_PATH_BYTES} bytes at most, this one {len(path.encode())}"
        )
    return path


def join_host_port(host: str, port: int) -> str:
    """`host:port`, a v6 address in brackets; `unix:PATH` as it is."""
    if host.startswith(UNIX):
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def is_token(text: str) -> bool:
    """Whether `text` may be a header name, a method or a pseudonym."""
    return _TOKEN.fullmatch(text) is not None


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(f"{text!r} is not a name; use letters, digits, '.', '_' and '-', at most 128")
    if text == "-":
        raise ValueError("'-' stands for no route in metrics; choose another name")
    return text


def _token(text: str) -> str:
    if not is_token(text):
        raise ValueError(f"{text!r} is not a token; use letters, digits and !#$%&'*+.^_`|~-")
    return text


def _method(text: str) -> str:
    _token(text)
    if text != text.upper():
        raise ValueError(f"methods are case-sensitive; write {text.upper()}")
    return text


def _header_name(text: str) -> str:
    if not is_token(text):
        raise ValueError(f"{text!r} is not a header name")
    return text


def _own_header_name(text: str) -> str:
    if _header_name(text).lower() in _FRAMING:
        raise ValueError(f"{text!r} is set by the gateway itself")
    return text


def _header_value(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("a header value holds no line ends and no control characters")
    return text


def _pattern(text: str) -> str:
    if not text.startswith("~"):
        return text
    if text == "~":
        raise ValueError("'~' begins a regular expression, and none follows")
    _expression(text[1:])
    return text


def _host(text: str) -> str:
    host = text.lower()
    if host == "*":
        raise ValueError("leave `host` out to match every host")
    if re.fullmatch(r"[^:]*:[0-9]+|\[.*\]:[0-9]+", host):
        raise ValueError(f"a host is matched without its port; write {host.rpartition(':')[0]}")
    if not host.isascii():
        raise ValueError(f"{text!r} is not ASCII; write its xn-- form")
    if not _HOST.fullmatch(host.removeprefix("*.")):
        raise ValueError(f"{text!r} is not a host; write api.example.com or *.example.com")
    return host


def _path(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError(f"a path begins with '/'; write /{text}")
    return _visible(text)


def _visible(text: str) -> str:
    if not text or _SPACE_OR_CONTROL.search(text):
        raise ValueError(f"{text!r} is empty or holds blanks; write them as %20")
    return text


def _expression(text: str) -> str:
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}") from None
    return text


def _status_range(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("should be a status such as 200, 2xx or 200-399")
    status_range(str(value))
    return str(value)


def _upstream_host(text: str) -> str:
    if text not in ("client", "upstream") and not split_host_port(text, "catalog.internal")[0]:
        raise ValueError(f"{text!r} is not a host; write client, upstream or a name such as catalog.internal")
    return text


def _network(value: object) -> Network:
    if isinstance(value, Network):
        return value
    if not isinstance(value, str):
        raise ValueError("should be a network such as 10.0.0.0/8")
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise ValueError(f"{value!r} is not a network; write one such as 10.0.0.0/8") from None
    if "/" in value and ipaddress.ip_interface(value).ip != network.network_address:
        raise ValueError(f"{value!r} has host bits set; write {network}")
    return network


def _peer(value: object) -> object:
    if value == UNIX.rstrip(":"):
        return value
    if isinstance(value, str) and value.startswith(UNIX):
        raise ValueError("write unix: a client of a Unix socket has no address")
    return _network(value)


def _mode(text: object) -> object:
    if not isinstance(text, str) or not re.fullmatch(r"0?[0-7]{3}", text, re.ASCII):
        raise ValueError('should be permissions in octal and in quotes, such as "0660"')
    return text


def _positive(value: Duration) -> Duration:
    if not value:
        raise ValueError("should be more than 0; write one such as 5s")
    return value


def _number(value: object) -> object:
    # To Python, and so to a Literal, True is 1.
    if isinstance(value, bool | float):
        raise ValueError("should be a whole number")
    return value


def endpoint_host_port(url: str) -> tuple[str, int]:
    """Host and port of an endpoint's URL, `unix:PATH` and 0 of a Unix socket's. ValueError for anything but
    http://HOST:PORT, https://HOST:PORT and unix:PATH."""
    if url.startswith(UNIX):
        return UNIX + unix_path(url), 0
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise ValueError(f"{url!r} is not a URL; write http://{url}")
    scheme = scheme.lower()
    if scheme not in DEFAULT_PORTS:
        raise ValueError(f"{scheme!r} is not a scheme for an endpoint; write http://HOST:PORT or https://HOST:PORT")
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    if "@" in authority:
        raise ValueError(f"user and password have no place in an endpoint; write {scheme}://HOST:PORT")
    if authority != rest.removesuffix("/"):
        raise ValueError(
            f"an endpoint has no path and no query; write {scheme}://{authority}, and `rewrite` at the route"
        )
    host, port = split_host_port(authority, "http://127.0.0.1:9001")
    if not host or port == 0:
        raise ValueError(f"{url!r} has no {'port' if host else 'host'}; write one such as {scheme}://127.0.0.1:9001")
    return host, DEFAULT_PORTS[scheme] if port is None else port


def _endpoint_url(text: str) -> str:
    endpoint_host_port(text)
    return text


def _request_line(text: str) -> str:
    method, _, url = text.partition(" ")
    path = url.startswith("/") or re.match(r"https?://[^/?#\s]+", url)
    if not is_token(method) or not path or _SPACE_OR_CONTROL.search(url):
        raise ValueError(f"{text!r} is not METHOD URL; write one such as GET https://api.example.com/items/42")
    return text


def distinct(headers: dict[str, str]) -> dict[str, str]:
    """The headers. ValueError for two spellings of one name."""
    seen: dict[str, str] = {}
    for name in headers:
        if name.lower() in seen:
            raise ValueError(f"{name!r} and {seen[name.lower()]!r} are the same header")
        seen[name.lower()] = name
    return headers


def _json(value: object) -> object:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        raise ValueError("JSON has no .inf and no .nan") from None
    return value


Name = Annotated[str, AfterValidator(_name)]
AppReference = Annotated[str, AfterValidator(checked_reference)]
Token = Annotated[str, AfterValidator(_token)]
Method = Annotated[str, AfterValidator(_method)]
HeaderName = Annotated[str, AfterValidator(_header_name)]
OwnHeaderName = Annotated[str, AfterValidator(_own_header_name)]
HeaderValue = Annotated[str, AfterValidator(_header_value)]
_ValuePattern = Annotated[str, AfterValidator(_pattern)]
Headers = Annotated[dict[HeaderName, HeaderValue], AfterValidator(distinct)]
OwnHeaders = Annotated[dict[OwnHeaderName, HeaderValue], AfterValidator(distinct)]
QueryPatterns = dict[str, _ValuePattern]
HeaderPatterns = Annotated[dict[HeaderName, _ValuePattern], AfterValidator(distinct)]
EndpointUrl = Annotated[str, AfterValidator(_endpoint_url)]
RequestLine = Annotated[str, AfterValidator(_request_line)]
JsonValue = Annotated[Any, AfterValidator(_json)]
MatchedHost = Annotated[str, AfterValidator(_host)]
PathText = Annotated[str, AfterValidator(_path)]
Expression = Annotated[str, AfterValidator(_expression)]
StatusRange = Annotated[str, BeforeValidator(_status_range), WithJsonSchema({"type": ["string", "integer"]})]
Location = Annotated[str, AfterValidator(_visible)]
UpstreamHost = Annotated[str, AfterValidator(_upstream_host)]
Text = Annotated[str, StringConstraints(min_length=1)]
TrustedPeer = Annotated[
    Network | Literal["unix"],
    BeforeValidator(_peer),
    WithJsonSchema({"type": "string", "examples": ["10.0.0.0/8", "192.0.2.7", "unix"]}),
]
FileMode = Annotated[
    str, BeforeValidator(_mode), WithJsonSchema({"type": "string", "pattern": "^0?[0-7]{3}$", "examples": ["0660"]})
]
Timeout = Annotated[Duration, AfterValidator(_positive)]
Number = BeforeValidator(_number)
Whole = Annotated[int, Strict()]
Count = Annotated[int, Strict(), Field(ge=1)]
Port = Annotated[int, Strict(), Field(ge=1, le=65535)]

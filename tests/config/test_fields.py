"""What the text fields accept, and what they say to what they do not."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.config import fields
from gateway.config.fields import Bind


def refusal(field: Any, value: object) -> str:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(field).validate_python(value)
    return str(caught.value.errors()[0].get("ctx", {}).get("error", caught.value))


@pytest.mark.parametrize(
    ("text", "host", "port"),
    (
        ("0.0.0.0:8080", "0.0.0.0", 8080),
        ("[::]:8080", "::", 8080),
        (":8080", "", 8080),
        ("LocalHost:0", "localhost", 0),
        ("[fe80::1%eth0]:80", "fe80::1%eth0", 80),
    ),
)
def test_a_bind_is_host_and_port(text: str, host: str, port: int) -> None:
    bind = Bind.parse(text)
    assert (bind.host, bind.port) == (host, port)
    assert str(bind) == text.lower()


@pytest.mark.parametrize(
    ("text", "message"),
    (
        ("0.0.0.0", "has no port; write 0.0.0.0:8080"),
        ("::1:8080", "is not HOST:PORT"),
        ("a:99999", "99999 is not a port"),
        ("1.2.3:80", "is not an IPv4 address"),
        ("[12::zz]:80", "is not HOST:PORT"),
        ("[1:2]:80", "is not an IPv6 address"),
        ("a b:80", "is not HOST:PORT"),
        ("-a:80", "is not a host name"),
        (8080, "should be HOST:PORT such as 0.0.0.0:8080"),
    ),
)
def test_a_bad_bind_is_told_how_to_write_it(text: object, message: str) -> None:
    assert message in refusal(Bind, text)


@pytest.mark.parametrize(
    ("text", "loopback"),
    (
        ("127.0.0.1:1", True),
        ("127.8.8.8:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("0.0.0.0:1", False),
        (":1", False),
        ("db:1", False),
    ),
)
def test_which_binds_are_loopback(text: str, loopback: bool) -> None:
    assert Bind.parse(text).is_loopback is loopback


@pytest.mark.parametrize(
    ("field", "value", "validated"),
    (
        (fields.Name, "a.b-C_9", "a.b-C_9"),
        (fields.MatchedHost, "API.Example.com", "api.example.com"),
        (fields.MatchedHost, "*.Example.com", "*.example.com"),
        (fields.MatchedHost, "[::1]", "[::1]"),
        (fields.UpstreamHost, "client", "client"),
        (fields.UpstreamHost, "catalog.internal:8080", "catalog.internal:8080"),
        (fields.HeaderPatterns, {"X-V": "~2|3"}, {"X-V": "~2|3"}),
        (fields.RequestLine, "GET https://a.example/b?c=d", "GET https://a.example/b?c=d"),
        (fields.RequestLine, "GET /b", "GET /b"),
        (fields.Expression, "o+k", "o+k"),
        (fields.StatusRange, 200, "200"),
        (fields.StatusRange, "2xx", "2xx"),
    ),
)
def test_accepted(field: Any, value: object, validated: object) -> None:
    assert TypeAdapter(field).validate_python(value) == validated


@pytest.mark.parametrize(
    ("field", "value", "message"),
    (
        (fields.Name, "-", "'-' stands for no route in metrics"),
        (fields.Name, "a b", "is not a name"),
        (fields.Name, "x" * 129, "is not a name"),
        (fields.Token, "a/b", "is not a token"),
        (fields.Method, "get", "write GET"),
        (fields.MatchedHost, "*", "leave `host` out"),
        (fields.MatchedHost, "a.com:80", "write a.com"),
        (fields.MatchedHost, "[::1]:80", "write [::1]"),
        (fields.MatchedHost, "bücher.de", "xn--"),
        (fields.MatchedHost, "a.*.com", "write api.example.com or *.example.com"),
        (fields.PathText, "a/b", "write /a/b"),
        (fields.PathText, "/a b", "write them as %20"),
        (fields.Location, "", "is empty"),
        (fields.UpstreamHost, "", "write client, upstream or a name"),
        (fields.HeaderPatterns, {"X": "~"}, "'~' begins a regular expression, and none follows"),
        (fields.HeaderPatterns, {"X": "~("}, "is not a regular expression"),
        (fields.HeaderPatterns, {"X:": "a"}, "is not a header name"),
        (fields.Headers, {"X": "a\r\nb"}, "no line ends"),
        (fields.Headers, {"X": "a\0"}, "no control characters"),
        (fields.Headers, {"X-A": "1", "x-a": "2"}, "'x-a' and 'X-A' are the same header"),
        (fields.OwnHeaders, {"content-Length": "1"}, "is set by the gateway itself"),
        (fields.RequestLine, "/b", "write one such as GET https://"),
        (fields.RequestLine, "GET b", "write one such as GET https://"),
        (fields.JsonValue, [float("nan")], "JSON has no"),
        (fields.Timeout, 0, "should be more than 0"),
        (fields.TrustedPeer, 5, "should be a network"),
        (fields.Expression, "(", "'(' is not a regular expression: missing )"),
        (fields.Expression, "a{99999999999999999999}", "the repetition number is too large"),
        (fields.StatusRange, 20, "'20' is no status; write 200, 2xx or 200-399"),
        (fields.StatusRange, True, "should be a status such as 200"),
        (fields.StatusRange, 200.0, "should be a status such as 200"),
    ),
)
def test_refused(field: Any, value: object, message: str) -> None:
    assert message in refusal(field, value)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    (("404", 404, 404), ("5xx", 500, 599), ("200-399", 200, 399), ("204-204", 204, 204), ("1xx", 100, 199)),
)
def test_a_range_of_statuses(text: str, first: int, last: int) -> None:
    assert list(fields.status_range(text)) == list(range(first, last + 1))


@pytest.mark.parametrize("text", ("", "0xx", "xxx", "20", "2000", "099", "2XX", "200-", "-399", "2xx-3xx", "200 - 299"))
def test_what_is_no_range_of_statuses(text: str) -> None:
    with pytest.raises(ValueError, match="is no status; write 200, 2xx or 200-399"):
        fields.status_range(text)


def test_a_range_of_statuses_that_ends_before_it_begins() -> None:
    with pytest.raises(ValueError, match="'399-200' ends before it begins"):
        fields.status_range("399-200")


def test_a_network_may_be_one_address() -> None:
    network = TypeAdapter(fields.TrustedPeer)
    assert str(network.validate_python("10.0.0.0/8")) == "10.0.0.0/8"
    assert str(network.validate_python("192.0.2.7")) == "192.0.2.7/32"
    assert str(network.validate_python("::1")) == "::1/128"
    assert "write 10.0.0.0/8" in refusal(fields.TrustedPeer, "10.0.0.1/8")
    assert "write one such as" in refusal(fields.TrustedPeer, "intranet")


@pytest.mark.parametrize(
    ("url", "host", "port"),
    (
        ("http://127.0.0.1:9001", "127.0.0.1", 9001),
        ("http://Catalog", "catalog", 80),
        ("http://[::1]:80/", "::1", 80),
        ("https://a", "a", 443),
        ("HTTPS://a:8443", "a", 8443),
    ),
)
def test_an_endpoint_is_a_url_of_host_and_port(url: str, host: str, port: int) -> None:
    assert fields.endpoint_host_port(url) == (host, port)


@pytest.mark.parametrize(
    ("url", "message"),
    (
        ("127.0.0.1:9001", "write http://127.0.0.1:9001"),
        ("https://u@a", "write https://HOST:PORT"),
        ("ftp://a", "'ftp' is not a scheme"),
        ("http://a/b", "has no path and no query; write http://a, and `rewrite` at the route"),
        ("http://a?b", "has no path and no query"),
        ("http://u:hunter2@a", "user and password have no place"),
        ("http://:80", "has no host"),
        ("http://a:0", "has no port"),
    ),
)
def test_an_endpoint_is_nothing_else(url: str, message: str) -> None:
    said = refusal(fields.EndpointUrl, url)
    assert message in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("text", "path"),
    (("unix:/run/a.sock", "/run/a.sock"), ("unix:///run/a.sock", "/run/a.sock"), ("unix:@name-1.x", "@name-1.x")),
)
def test_a_unix_socket(text: str, path: str) -> None:
    bind = Bind.parse(text)
    assert (bind.host, bind.port, bind.path, bind.mode, bind.is_loopback) == ("", 0, path, 0o600, True)
    assert str(bind) == f"unix:{path}"
    assert fields.endpoint_host_port(text) == (f"unix:{path}", 0)
    assert fields.join_host_port(f"unix:{path}", 0) == f"unix:{path}"


@pytest.mark.parametrize(
    ("text", "message"),
    (
        ("unix:run/a.sock", "write unix:/run/name.sock"),
        ("unix:", "write unix:/run/name.sock"),
        ("unix://a.sock", "write unix:/run/name.sock"),
        ("unix:@", "write unix:/run/name.sock"),
        ("unix:/run/a b", "holds blanks"),
        ("unix:/run/", "or is a folder"),
        ("unix:/" + "a" * 103, "has 103 bytes at most, this one 104"),
    ),
)
def test_what_is_no_unix_socket(text: str, message: str) -> None:
    assert message in refusal(Bind, text)
    assert message in refusal(fields.EndpointUrl, text)


def test_whom_to_trust() -> None:
    peers = TypeAdapter(tuple[fields.TrustedPeer, ...])
    assert [str(peer) for peer in peers.validate_python(["10.0.0.0/8", "unix", "::1"])] == [
        "10.0.0.0/8",
        "unix",
        "::1/128",
    ]
    assert "write unix" in refusal(fields.TrustedPeer, "unix:/run/a.sock")


@pytest.mark.parametrize("value", ("rw", 660, 0o660, "0o660", "0888", "01660"))
def test_what_are_no_permissions(value: object) -> None:
    assert 'such as "0660"' in refusal(fields.FileMode, value)

"""Places in paths, header values and bodies: what fills them, and that nothing gets out of its place."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.compose.template import (
    MISSING,
    JsonTemplate,
    Reference,
    Scope,
    TargetTemplate,
    TextTemplate,
    UnknownName,
    Unresolved,
    part_numbers,
)
from gateway.errors import ConfigError
from gateway.exchange import ORIGIN_FORM
from gateway.shaping.exact import parse, write
from gateway.testing import make_exchange
from gateway.wire.fields import field_line

SCOPE = Scope(frozenset(["id", "**"]), {"product": 0, "seller": 1}, "item")
PRODUCT = parse(
    b"""{"id":7,"price":9.990,"big":123456789012345678901234567890,"e":1E5,"no":null,"yes":true,"off":false,
    "name":"a b/c","tags":["x","y",2],"empty":[],"mixed":["x",null],"of":{"a":[{"b":"deep"}]}}"""
)


class Filled:
    """What places are filled from: `parts` by number."""

    def __init__(self, *parts: Any, path: str = "/p", captures: dict[str, str] | None = None, **more: Any) -> None:
        self.exchange = make_exchange(path=path, captures=captures or {"id": "42", "**": "a/b"}, **more)
        self._parts = parts

    def part(self, number: int) -> Any:
        return self._parts[number] if number < len(self._parts) else MISSING


VALUES = Filled(
    PRODUCT,
    path="/p?page=2&tag=a&tag=b%26c&empty=&a.b=1",
    headers={"X-Lang": "de", "Accept-Language": "en"},
    principal="ann",
    claims={"sub": "ann", "org": {"id": 5}},
)


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("plain", "plain"),
        ("{id}", "42"),
        ("{**}", "a/b"),
        ("{product.id}", "7"),
        ("<{product.id}-{id}>", "<7-42>"),
        ("{product.price}", "9.990"),
        ("{product.big}", "123456789012345678901234567890"),
        ("{product.e}", "1E5"),
        ("{product.yes} {product.off}", "true false"),
        ("{product.name}", "a b/c"),
        ("{product.tags}", "x,y,2"),
        ("{product.tags.1}", "y"),
        ("{product.of.a.0.b}", "deep"),
        ("{item}", "it"),
        ("{query.page}", "2"),
        ("{query.tag}", "a,b&c"),
        ("{query.empty}", ""),
        ("{query.a.b}", "1"),
        ("{header.x-lang}", "de"),
        ("{header.Accept-Language}", "en"),
        ("{principal}", "ann"),
        ("{claims.sub}-{claims.org.id}", "ann-5"),
        ("{query.none:-1}", "1"),
        ("{product.no:-none}", "none"),
        ("{product.none:-}", ""),
        ("{seller.x:-a:-b?c}", "a:-b?c"),
        ("{query.page:-9}", "2"),
    ],
)
def test_what_fills_a_text(text: str, filled: str) -> None:
    assert TextTemplate(text, SCOPE).expand(VALUES, "it") == filled


@pytest.mark.parametrize(
    ("text", "said", "of_request"),
    [
        ("{product.none}", "{product.none} is not there", False),
        ("{product.no}", "{product.no} is not there", False),
        ("{product.id.x}", "is not there", False),
        ("{product.tags.3}", "is not there", False),
        ("{product.tags.-1}", "is not there", False),
        ("{product.tags.x}", "is not there", False),
        ("{product.of}", "{product.of} is no text", False),
        ("{product.mixed}", "{product.mixed} is no text", False),
        ("{product.empty}", "{product.empty} is an empty list", False),
        ("{product}", "{product} is no text", False),
        ("{seller.name}", "{seller.name} is not there", False),
        ("{item.x}", "{item.x} is not there", False),
        ("{query.none}", "{query.none} is not there", True),
        ("{header.none}", "{header.none} is not there", True),
        ("{claims.none}", "{claims.none} is not there", True),
        ("{claims.org}", "{claims.org} is no text", True),
    ],
)
def test_what_nothing_fills(text: str, said: str, of_request: bool) -> None:
    with pytest.raises(Unresolved) as caught:
        TextTemplate(text, SCOPE).expand(VALUES, "it")
    assert said in str(caught.value)
    assert caught.value.of_request is of_request


def test_nobody_is_no_principal() -> None:
    with pytest.raises(Unresolved, match="principal"):
        TextTemplate("{principal}", SCOPE).expand(Filled())
    with pytest.raises(Unresolved, match="claims"):
        TextTemplate("{claims.sub}", SCOPE).expand(Filled())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "has a brace that is no place"),
        ("}", "has a brace that is no place"),
        ("{a{id}}", "has a brace that is no place"),
        ("{}", "nothing is called ''"),
        ("{prodct.id}", "nothing is called 'prodct' in {prodct.id}"),
        ("{id.x}", "{id.x}: a capture is a text and has no fields"),
        ("{product..x}", "has an empty field name"),
        ("{product.}", "has an empty field name"),
        ("{query}", "{query} needs a name, such as {query.id}"),
        ("{claims}", "needs a name, such as {claims.id}"),
        ("{header}", "needs a name"),
        ("{principal.x}", "the principal is a text"),
        ("{request}", "of the request there is {request.body}"),
        ("{request.head}", "of the request there is {request.body}"),
    ],
)
def test_what_is_no_place(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TextTemplate(text, SCOPE)
    assert said in str(caught.value)


def test_an_unknown_name_brings_those_that_are_known() -> None:
    with pytest.raises(UnknownName) as caught:
        TextTemplate("{nope}", SCOPE)
    assert caught.value.name == "nope"
    assert caught.value.names[:5] == ["**", "id", "product", "seller", "item"]
    assert "query" in caught.value.names


def test_the_rest_has_two_names() -> None:
    scope = Scope(frozenset(["rest"]), {})
    values = Filled(captures={"rest": "a/b%20c"})
    assert TargetTemplate("/x/{rest}", scope).expand(values) == "/x/a/b%20c"
    assert TargetTemplate("/x/{*rest}", scope).expand(values) == "/x/a/b%20c"
    with pytest.raises(UnknownName):
        TargetTemplate("/x/{*other}", scope)


def test_a_capture_goes_before_what_the_request_has() -> None:
    scope = Scope(frozenset(["query"]), {})
    assert TextTemplate("{query}", scope).expand(Filled(captures={"query": "q%201"})) == "q 1"


def test_what_is_needed_is_known() -> None:
    template = TextTemplate("{product.a}{id}{seller.b}{product.c}{item}", SCOPE)
    assert part_numbers(template.references) == {0, 1}
    assert repr(Reference("product.a", SCOPE)) == "<Reference product.a>"


# paths and queries


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("/items", "/items"),
        ("/items/{id}", "/items/42"),
        ("/{**}/x", "/a/b/x"),
        ("/n/{product.name}", "/n/a%20b%2Fc"),
        ("/n?x={product.name}&y=1", "/n?x=a%20b%2Fc&y=1"),
        ("/n?ids={product.tags}", "/n?ids=x,y,2"),
        ("/n/{query.tag}?t={query.tag}", "/n/a%2Cb%26c?t=a,b%26c"),
        ("/n?{query.tag}=1", "/n?a,b%26c=1"),
        ("/n?x={**}", "/n?x=a%2Fb"),
        ("/n/{query.none:-a?b}/c", "/n/a%3Fb/c"),
        ("/n?x={query.empty}", "/n?x="),
        ("/n-{query.empty}/a", "/n-/a"),
    ],
)
def test_targets(text: str, target: str) -> None:
    assert TargetTemplate(text, SCOPE).expand(VALUES) == target


@pytest.mark.parametrize("text", ["/a b{id}", "/\u20ac/{id}", "/a#b", "/{id}#x", "/\u00e4", "/a\n"])
def test_a_path_is_written_raw(text: str) -> None:
    with pytest.raises(ConfigError, match="is no path: write what is not visible ASCII, and '#', as %XX"):
        TargetTemplate(text, SCOPE)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("/u/{product}{product}/x", ""),
        ("/u/{product}", ".."),
        ("/u/{product}", "."),
        ("/u/{product}/x", ".."),
        ("/u/{product}", ""),
        ("/u/{product}/x", ""),
        ("/u/{product}?a=b", ""),
        ("/u/.{product}", "."),
        ("/u/{product}{product}", "."),
        ("/{product}", ""),
    ],
)
def test_what_would_leave_its_segment_is_refused(text: str, value: str) -> None:
    with pytest.raises(Unresolved) as caught:
        TargetTemplate(text, SCOPE).expand(Filled(value))
    assert caught.value.of_request is False


def test_the_client_is_told_when_it_was_the_client() -> None:
    with pytest.raises(Unresolved) as caught:
        TargetTemplate("/u/{query.x}", SCOPE).expand(Filled(path="/p?x=.."))
    assert caught.value.of_request is True
    assert "p?x" not in str(caught.value)


def test_a_text_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(ValueError, match="surrogates not allowed"):
        TargetTemplate("/u/{product}", SCOPE).expand(Filled("\ud800"))


TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    ["..", "%2e%2e", "/..", "../x", "a?b=c", "a#b", "a&b=c", ";x", "\\", "\r\nX: y", "//", "%2F", "a b", "+", "\x00"]
)


@given(TEXTS, TEXTS)
def test_a_value_never_leaves_its_segment_or_its_parameter(one: str, two: str) -> None:
    template = TargetTemplate("/a/{product}/b-{seller}/c?x={product}&y={seller}&{seller}=z#"[:-1], SCOPE)
    try:
        target = template.expand(Filled(one, two))
    except Unresolved:
        assert one in ("", ".", "..")
        return
    assert ORIGIN_FORM.fullmatch(target)
    found = urlsplit(f"http://h{target}")
    segments = found.path.split("/")
    assert [unquote(segment, errors="strict") for segment in segments] == ["", "a", one, f"b-{two}", "c"]
    assert not {".", ".."} & set(segments)
    query = parse_qsl(found.query, keep_blank_values=True, strict_parsing=True)
    assert query == [("x", one), ("y", two), (two, "z")]
    assert (found.fragment, found.netloc) == ("", "h")


@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_segments_side_by_side_hold_no_dots(values: list[str]) -> None:
    scope = Scope(frozenset(), {f"p{number}": number for number in range(len(values))})
    template = TargetTemplate("/u/" + "".join(f"{{p{number}}}" for number in range(len(values))), scope)
    try:
        target = template.expand(Filled(*values))
    except Unresolved:
        assert "".join(values) in ("", ".", "..")
        return
    assert target.count("/") == 2
    assert target.rpartition("/")[2] not in (".", "..")


@given(TEXTS)
def test_a_header_value_never_makes_another_line(value: str) -> None:
    text = TextTemplate("a={product}", SCOPE).expand(Filled(value))
    try:
        line = field_line("X-A", text)
    except ValueError:
        assert any(letter < " " or letter == "\x7f" for letter in value if letter != "\t")
        return
    assert line.count(b"\r\n") == 1
    assert line.count(b"\n") == 1


@given(st.integers() | st.decimals(allow_nan=False, allow_infinity=False), st.booleans())
def test_numbers_are_put_in_as_they_were_written(number: Any, capital: bool) -> None:
    text = str(number) if capital else str(number).lower()
    try:
        value = parse(text.encode())
    except ValueError:
        assume(False)
    assert TargetTemplate("/n/x{product}", SCOPE).expand(Filled(value)) == f"/n/x{text.replace('+', '%2B')}"


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("/items/{id}/x?a={product.id}", "/items/raw/x"),
        ("/{**}", "/y/z"),
        ("/{product.x}/{id}", "/x/raw"),
        ("/{query.a:-b?c}/{id}", "/x/raw"),
        ("/a?x={id}", None),
        ("/{product.a}", None),
    ],
)
def test_the_path_as_captures_alone_make_it(text: str, filled: str | None) -> None:
    template = TargetTemplate(text, SCOPE).captured()
    assert (template.expand({"id": "raw", "**": "y/z"}) if template is not None else None) == filled


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/i/{id}", "/i/42"),
        ("/i/{product.id}/{id}?p={query.page}", "/i/{product.id}/42?p=2"),
        ("/i/{item}", "/i/{item}"),
        ("/i/{query.none}?x={claims.sub}", "/i/{query.none}?x=ann"),
        ("/i/{product.x:-3}", "/i/{product.x}"),
        ("/i?p={query.none:-1}", "/i?p=1"),
    ],
)
def test_a_preview_before_anybody_is_asked(text: str, shown: str) -> None:
    assert TargetTemplate(text, SCOPE).preview(VALUES) == shown


# bodies


def test_bodies() -> None:
    data = {
        "id": "{product.id}",
        "price": "{product.price}",
        "text": "n {product.price}",
        "list": ["{id}", 1, None, True],
        "all": "{product.of}",
        "q": "{query.none:-x}",
        "plain": "a",
        "item": "{item}",
    }
    template = JsonTemplate(data, SCOPE)
    assert write(template.expand(VALUES, {"a": 1})).decode() == (
        '{"id":7,"price":9.990,"text":"n 9.990","list":["42",1,null,true],"all":{"a":[{"b":"deep"}]},"q":"x",'
        '"plain":"a","item":{"a":1}}'
    )
    assert part_numbers(template.references) == {0}
    with pytest.raises(Unresolved):
        JsonTemplate({"a": ["{product.none}"]}, SCOPE).expand(VALUES)
    with pytest.raises(UnknownName):
        JsonTemplate([{"a": "{nope}"}], SCOPE)


@pytest.mark.parametrize("data", [None, 1, True, [], {}, {"a": []}, "x"])
def test_what_has_no_place_stays(data: Any) -> None:
    template = JsonTemplate(data, SCOPE)
    assert template.expand(VALUES) == data
    assert template.references == ()


def test_what_the_client_sent() -> None:
    template = JsonTemplate("{request.body}", SCOPE)
    assert template.expand(Filled(body=b'{"a": 1.0}')) == b'{"a": 1.0}'
    assert template.expand(Filled()) == b""
    assert JsonTemplate("{request.body:-[]}", SCOPE).expand(Filled()) == b"[]"

"""XML as JSON-able values, and back.

    <order id="7"><item>tea</item><item>milk</item><note lang="en">soon</note><gift/></order>
    {"order": {"@id": "7", "item": ["tea", "milk"], "note": {"@lang": "en", "#text": "soon"}, "gift": null}}

- An element is one key of the element around it; elements of one name are a list, at the place of the first. An element
  that `lists` names is a list even when it is alone; one that is not there at all is no key.
- An attribute is `@name`. Text is the element's value; beside attributes or elements it is `#text`. An element without
  any of these, with nothing but blanks, or with `xsi:nil="true"` is null.
- Text is kept as it is, blanks around it too; beside elements its pieces are joined, since JSON cannot say where they
  stood, and blanks around the whole are taken as layout. CDATA is text. Comments and processing instructions are left
  out.
- All values are text but for those that `types` names: a `number` keeps its digits (`9.990`), an `integer` may have
  1000 of them, a `boolean` is true, false, 1 or 0. What does not fit its type is an error, what is empty is null.
- An element goes by its local name, with the prefix that `namespaces` gives its namespace if it is listed there; the
  document's own prefixes mean nothing. An attribute in a namespace that is not listed is left out (`xsi:type`), but
  for `@xml:lang` and the like.

Writing is the same the other way round: attributes and text first, then elements in the order of keys; null, an empty
object and empty text are an empty element, an attribute that is null and an empty list are nothing. The entries of a
list in a list are elements named `item`. All listed namespaces are declared at the root.

Nothing is read that XML says elsewhere: a document with a DTD is refused, and so are its entities and references.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any
from xml.parsers.expat import ErrorString

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser, ParseError

from gateway.legacy.media import charset_of, media_type
from gateway.legacy.namespaces import XSI, Namespaces, shown
from gateway.legacy.numbers import number, text_of
from gateway.legacy.options import Scalar, XmlOptions

DEPTH = 64
# Elements and attributes together.
NODES = 20_000
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
_BLANKS = " \t\r\n"
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_INTEGER = re.compile("[+-]?[0-9]+")
# XML 1.0 §2.2: what no document can hold, not even as a reference.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# A carriage return that stands as it is would be read as a line feed (XML 1.0 §2.11, and §3.3.3 for attributes).
_TEXT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
_ATTRIBUTE = _TEXT | str.maketrans({'"': "&quot;", "\t": "&#9;", "\n": "&#10;"})
_DECLARED = re.compile(rb"""<\?xml\s[^>]*?\sencoding\s*=\s*["']([A-Za-z][A-Za-z0-9._-]*)["']""")
# Encodings that services do use. Python knows many more, UTF-7 among them.
_CODECS = {
    "utf-16": "utf-16-be",  # without a byte order mark (RFC 2781 §4.3)
    **{name: name for name in ("utf-8", "utf-16be", "utf-16le", "us-ascii", "koi8-r", "shift_jis", "euc-jp", "euc-kr")},
    **{name: name for name in ("gb2312", "gbk", "gb18030", "big5")},
    **{f"iso-8859-{part}": f"iso-8859-{part}" for part in range(1, 17) if part != 12},
    **{f"windows-125{part}": f"cp125{part}" for part in range(9)},
}
# An error stops the parser at the end of what it was fed: no more than this is read in vain.
_SLICE = 1 << 16


class XmlMapping:
    """What the options settle for both directions. Immutable."""

    __slots__ = ("item", "lists", "max_body", "names", "types")

    def __init__(
        self,
        names: Namespaces,
        max_body: int,
        lists: Collection[str] = (),
        types: Mapping[str, Scalar] | None = None,
        item: str = "item",
    ) -> None:
        self.names = names
        self.max_body = max_body
        self.lists = frozenset(lists)
        self.types = dict(types or {})
        self.item = item

    def read(self, body: bytes, content_type: str = "") -> tuple[str, Any]:
        """The root's name and its value. ValueError for what is no XML, and for what is over a limit."""
        if len(body) > self.max_body:
            raise ValueError(f"longer than {self.max_body} bytes")
        text = _decoded(body, content_type)
        reader = _Reader(self)
        parser = DefusedXMLParser(target=reader, forbid_dtd=True)
        try:
            for start in range(0, len(text), _SLICE):
                parser.feed(text[start : start + _SLICE])
            parser.close()
        except ParseError as error:
            line, column = error.position
            _let_go(error)
            raise ValueError(f"not XML: {ErrorString(error.code)} at line {line}, column {column + 1}") from None
        except DefusedXmlException:
            raise ValueError("XML with a DTD is not read") from None
        finally:
            # It points at itself by its handlers, until it is closed without an error.
            vars(parser).clear()
        ((name, value),) = reader.document.items()
        return name, value[0] if name in self.lists else value

    def write(self, name: str, value: Any) -> str:
        """One element. ValueError for what XML cannot say, and for more than `max_body` characters."""
        writer = _Writer(self)
        writer.element(name, value, 1)
        return "".join(writer.pieces)

    def write_document(self, name: str, value: Any) -> bytes:
        """A whole document whose root declares the namespaces. ValueError as with `write`."""
        writer = _Writer(self)
        writer.pieces.append(DECLARATION)
        writer.element(name, value, 1, self.names.declarations)
        return checked_size("".join(writer.pieces).encode(), self.max_body)


class XmlCodec:
    """Plain XML with options."""

    request_headers: tuple[tuple[str, str], ...] = ()
    method: str | None = None
    __slots__ = ("_content_type", "_mapping", "_root", "accept")

    def __init__(self, options: XmlOptions, max_body: int) -> None:
        names = Namespaces(options.namespace, options.namespaces)
        self._mapping = XmlMapping(names, max_body, options.lists, options.types, options.item)
        self._root = options.root
        self._content_type = f"{options.content_type}; charset=utf-8"
        self.accept = ", ".join(dict.fromkeys((options.content_type, "application/xml", "text/xml;q=0.9")))

    def reads(self, content_type: str) -> bool:
        """Is it XML that carries data? Pages and drawings are not."""
        return is_xml(content_type)

    def decode(self, body: bytes, content_type: str) -> Any:
        """The document's value: what is in the root where the options name one."""
        name, value = self._mapping.read(body, content_type)
        return value if self._root is not None else {name: value}

    def encode(self, value: Any) -> tuple[bytes, str]:
        """The document of a value."""
        name = self._root
        if name is None:
            if not isinstance(value, dict) or len(value) != 1:
                raise ValueError("XML has one root: write an object with one key, its name")
            ((name, value),) = value.items()
            if isinstance(value, list):
                raise ValueError("XML has one root, not a list of them")
        return self._mapping.write_document(name, value), self._content_type


def is_xml(content_type: str) -> bool:
    """RFC 7303 §9.1, 9.2 and 4.2, but for what browsers show."""
    kind = media_type(content_type)
    if kind in ("text/xml", "application/xml"):
        return True
    return kind.startswith("application/") and kind.endswith("+xml") and kind != "application/xhtml+xml"


def checked_size(body: bytes, most: int) -> bytes:
    """The body. ValueError when it has more bytes than that."""
    if len(body) > most:
        raise ValueError(f"longer than {most} bytes")
    return body


def _decoded(body: bytes, content_type: str) -> str:
    """RFC 7303 §3: a byte order mark, then the charset of the content type, then what the document says of itself."""
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):
        codec = "utf-16"
    elif body.startswith(b"\xef\xbb\xbf"):
        codec = "utf-8-sig"
    else:
        found = _DECLARED.match(body, 0, 200)
        named = charset_of(content_type) or (found[1].decode().lower() if found else "utf-8")
        codec = _CODECS.get(named, "")
        if not codec:
            raise ValueError(f"the encoding {shown(named)} is not read; UTF-8 is")
    try:
        return body.decode(codec)
    except UnicodeDecodeError:
        raise ValueError("not XML: not in the encoding that it says") from None


def _let_go(error: BaseException | None) -> None:
    """The parser raises errors from frames that hold them, and the frames around hold the whole document: without
    this only the garbage collector would end it."""
    while error is not None:
        error.__traceback__ = None
        error = error.__context__


class _Element:
    """One that is open. `attributes` counts those among its fields."""

    __slots__ = ("attributes", "fields", "key", "nil", "texts")

    def __init__(self, key: str) -> None:
        self.key = key
        self.fields: dict[str, Any] = {}
        self.texts: list[str] = []
        self.attributes = 0
        self.nil = False


class _Reader:
    """What the parser tells of one document.

    Mutable state: `document`, which is its one root by name in the end; the elements that are open, how many nodes
    there may still be, and the keys of names met.
    """

    def __init__(self, mapping: XmlMapping) -> None:
        self._mapping = mapping
        self._open = [_Element("")]
        self._left = NODES
        self._keys: dict[str, str] = {}
        self.document = self._open[0].fields

    def start_ns(self, prefix: str, uri: str) -> None:
        # The parser puts it before every name, so a long one would cost as much again and again.
        if len(uri) > 1000:
            raise ValueError("a namespace is longer than 1000 characters")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._left -= 1 + len(attributes)
        if self._left < 0:
            raise ValueError(f"more than {NODES} elements and attributes")
        if len(self._open) > DEPTH:
            raise ValueError(f"nested more than {DEPTH} deep")
        element = _Element(self._keys.get(tag) or self._key(tag))
        self._open.append(element)
        for name, text in attributes.items():
            self._attribute(element, name, text)
        element.attributes = len(element.fields)

    def data(self, text: str) -> None:
        self._open[-1].texts.append(text)

    def end(self, tag: str) -> None:
        element = self._open.pop()
        key, fields = element.key, self._open[-1].fields
        value = self._value(element)
        known = fields.get(key)
        if isinstance(known, list):
            known.append(value)
        elif key in fields:
            fields[key] = [known, value]
        else:
            fields[key] = [value] if key in self._mapping.lists else value

    def _value(self, element: _Element) -> Any:
        if element.nil:
            return None
        fields, text = element.fields, "".join(element.texts)
        bare = text.strip(_BLANKS)
        value: Any = None
        if bare:
            value = bare if len(fields) > element.attributes else text
            kind = self._mapping.types.get(element.key)
            if kind is not None:
                value = _typed(kind, bare, element.key)
        if not fields:
            return value
        if bare:
            fields["#text"] = value
        return fields

    def _key(self, tag: str) -> str:
        uri, _, local = tag[1:].rpartition("}") if tag[0] == "{" else ("", "", tag)
        key = self._keys[tag] = f"{self._mapping.names.prefix(uri) or ''}{local}"
        return key

    def _attribute(self, element: _Element, name: str, text: str) -> None:
        uri, _, local = name[1:].rpartition("}") if name[0] == "{" else ("", "", name)
        prefix = ""
        if uri:
            if uri == XSI and local == "nil":
                element.nil = text.strip(_BLANKS) in ("true", "1")
            prefix = self._mapping.names.prefix(uri) or ""
            if not prefix:
                return
        key = f"@{prefix}{local}"
        kind = self._mapping.types.get(key)
        element.fields[key] = text if kind is None else _typed(kind, text.strip(_BLANKS), key)


def _typed(kind: Scalar, text: str, key: str) -> Any:
    value: Any = None
    if kind == "boolean":
        value = _BOOLEANS.get(text)
    elif kind == "number" or _INTEGER.fullmatch(text):
        try:
            value = number(text)
        except ValueError:
            value = None
    if value is None and text:
        raise ValueError(f"the text of {shown(key)} is no {kind}")
    return value


class _Writer:
    """One document that is being written. Mutable state: its `pieces`, and how many characters there may still be."""

    def __init__(self, mapping: XmlMapping) -> None:
        self._mapping = mapping
        self._left = mapping.max_body
        self._good: set[str] = set()
        self.pieces: list[str] = []

    def element(self, key: str, value: Any, depth: int, declarations: str = "") -> None:
        """One element of that name."""
        if depth > DEPTH:
            raise ValueError(f"nested more than {DEPTH} deep")
        if key not in self._good:
            self._mapping.names.check_name(key)
            self._good.add(key)
        self._add(f"<{key}{declarations}")
        text: Any = None
        elements: dict[str, Any] = {}
        if isinstance(value, dict):
            for name, inner in value.items():
                if name.startswith("@"):
                    self._attribute(name[1:], inner)
                elif name == "#text":
                    text = inner
                elif inner != []:
                    elements[name] = inner
        elif isinstance(value, list):
            elements.update({self._mapping.item: value} if value else {})
        else:
            text = value
        written = "" if text is None else _plain(text).translate(_TEXT)
        if not written and not elements:
            self._add("/>")
            return
        self._add(f">{written}")
        for name, inner in elements.items():
            for one in inner if isinstance(inner, list) else (inner,):
                self.element(name, one, depth + 1)
        self._add(f"</{key}>")

    def _attribute(self, name: str, value: Any) -> None:
        self._mapping.names.check_attribute(name)
        if value is not None:
            self._add(f' {name}="{_plain(value).translate(_ATTRIBUTE)}"')

    def _add(self, piece: str) -> None:
        self._left -= len(piece)
        if self._left < 0:
            raise ValueError(f"longer than {self._mapping.max_body} bytes")
        self.pieces.append(piece)


def _plain(value: Any) -> str:
    """The text of a scalar."""
    if isinstance(value, str):
        if _FORBIDDEN.search(value):
            raise ValueError("a text has a character that XML does not allow")
        return value
    if isinstance(value, bool | int | float):
        return text_of(value)
    raise ValueError("an attribute and the text beside it hold one text or number each")

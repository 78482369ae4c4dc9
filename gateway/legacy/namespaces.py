"""Names of XML elements and attributes, and the prefixes that JSON has for their namespaces."""

from __future__ import annotations

import re
from collections.abc import Mapping

XML = "http://www.w3.org/XML/1998/namespace"
XMLNS = "http://www.w3.org/2000/xmlns/"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
# Parsers differ about letters: many know those of XML 1.0's fourth edition alone (appendix B), others those of the
# fifth (§2.3), which are far more. These are letters in both: Latin, Greek, Cyrillic, Hebrew, Arabic, kana, ideographs
# and Hangul.
_LETTERS = (
    "A-Z_a-z\xc0-\xd6\xd8-\xf6\xf8-\u0131\u0134-\u013e\u0141-\u0148\u014a-\u017e"
    "\u0388-\u038a\u038e-\u03a1\u03a3-\u03ce\u0401-\u040c\u040e-\u044f\u0451-\u045c\u045e-\u0481"
    "\u05d0-\u05ea\u0621-\u063a\u0641-\u064a\u3041-\u3094\u30a1-\u30fa\u4e00-\u9fa5\uac00-\ud7a3"
)
# Namespaces in XML 1.0, §3: a name without a colon.
LOCAL = re.compile(f"[{_LETTERS}][-.0-9{_LETTERS}]*")
# RFC 3986 allows less; what matters is that it can stand in an attribute as it is.
URI = re.compile(r"[!#-%'-;=?-~]{1,500}")


class Namespaces:
    """Which prefix JSON has for which namespace. Immutable.

    `default` is the namespace of elements that JSON names without a prefix, None for no namespace. `prefixed` are the
    others by their prefix.
    """

    __slots__ = ("_prefixes", "declarations", "default", "prefixed")

    def __init__(
        self, default: str | None, prefixed: Mapping[str, str], envelope: tuple[str, ...] = (), own_prefix: str = ""
    ) -> None:
        """`envelope` are namespaces that stand around the value: they have the prefix `own_prefix`, and no value may
        use it. ValueError for what is no prefix or no URI, and for one namespace with two prefixes."""
        self.default = default
        self.prefixed = dict(prefixed)
        self._prefixes: dict[str, str] = {XML: "xml:", **dict.fromkeys(envelope, f"{own_prefix}:")}
        if default is not None:
            self._add("", default)
        for prefix, uri in prefixed.items():
            if not LOCAL.fullmatch(prefix) or prefix.lower().startswith("xml") or prefix == own_prefix:
                raise ValueError(f"{prefix!r} cannot be a prefix of yours; write another such as m")
            self._add(f"{prefix}:", uri)
        # As they stand in the start tag of the root.
        self.declarations = "".join(
            [f' xmlns="{default}"' if default is not None else ""]
            + [f' xmlns:{prefix}="{uri}"' for prefix, uri in prefixed.items()]
        )

    def _add(self, prefix: str, uri: str) -> None:
        if not URI.fullmatch(uri):
            raise ValueError(f"{uri!r} is no namespace; write its URI, such as urn:example:catalog")
        if uri in (XML, XMLNS) or uri in self._prefixes:
            raise ValueError(f"the namespace {uri} has a prefix already; keep one of them")
        self._prefixes[uri] = prefix

    def prefix(self, uri: str) -> str | None:
        """What stands before the local name, with its colon: "" for the default namespace, None for one that is not
        listed."""
        return self._prefixes.get(uri)

    def check_name(self, name: str) -> None:
        """ValueError for what is no element's name, or has a prefix that is not listed."""
        prefix, colon, local = name.rpartition(":")
        if not LOCAL.fullmatch(local) or (colon and not LOCAL.fullmatch(prefix)):
            raise ValueError(f"{shown(name)} is no name of an XML element")
        if colon and prefix not in self.prefixed:
            raise ValueError(f"the prefix of {shown(name)} is not one of `namespaces`")

    def check_attribute(self, name: str) -> None:
        """The same for an attribute's name, which stands here without its `@`."""
        if name == "xmlns":
            raise ValueError("namespaces are declared by the option `namespaces`, not by attributes")
        prefix, colon, local = name.rpartition(":")
        if prefix == "xml" and LOCAL.fullmatch(local):
            return
        self.check_name(f"{prefix}{colon}{local}")


def shown(name: str) -> str:
    """A name of a peer's in an error: quoted, and not longer than a name should be."""
    return repr(name if len(name) <= 60 else f"{name[:60]}...")

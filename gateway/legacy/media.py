"""Content types."""

from __future__ import annotations


def media_type(content_type: str) -> str:
    """The type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def charset_of(content_type: str) -> str:
    """The parameter `charset` in lower case, "" where there is none."""
    for parameter in content_type.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip('"').lower()
    return ""


def is_json(content_type: str) -> bool:
    """RFC 8259 §11, and the suffix of RFC 6839 §3.1."""
    kind = media_type(content_type)
    return kind == "application/json" or kind.endswith("+json")

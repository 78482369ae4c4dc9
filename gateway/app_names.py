"""What an application is called: `module:attribute` in a configuration, `app:module:attribute` among upstreams."""

from __future__ import annotations


def checked_reference(text: str) -> str:
    """`text`, if it is `module:attribute`. ValueError in words for the user."""
    module, _, attribute = text.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), attribute)):
        raise ValueError(f"{text!r} is not module:attribute; write one such as bff.web.handlers:app")
    return text


def upstream_name(reference: str) -> str:
    """Its upstream. None of a file can have such a name, since there a colon is not allowed."""
    return f"app:{reference}"

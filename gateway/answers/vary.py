"""The Vary of an answer (RFC 9110 §12.5.5). Pure."""

from __future__ import annotations

from gateway.exchange import Headers


def vary_by(headers: Headers, name: str) -> None:
    """The answer depends on this field of the request too."""
    present = headers.get_all("vary")
    if not present:
        headers.add("Vary", name)
        return
    joined = ", ".join(present)
    names = {member.strip().lower() for member in joined.split(",")}
    if not names & {"*", name.lower()}:
        headers.set("Vary", f"{joined}, {name}")

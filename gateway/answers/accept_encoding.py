"""Which content coding a client gets, by its Accept-Encoding (RFC 9110 §12.5.3). Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from gateway.recent import Recent

IDENTITY: Final = "identity"
MEMBER: Final = re.compile(
    r"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*(?:;[ \t]*[qQ]=(0(?:\.[0-9]*)?|1(?:\.0*)?)[ \t]*)?"
)
# RFC 9110 §8.4.1.3
ALIASES: Final = {"x-gzip": "gzip"}
# Nobody has so much to say: a longer field is not looked at.
LONGEST: Final = 1024
# Of how many different fields the outcome is remembered.
FIELDS_KEPT: Final = 1000


def choose_coding(field: str, offered: Sequence[str]) -> str:
    """The coding of `offered` that the client likes best, the first of them among equals; `identity` where it likes
    that better, and where it accepts none of them, even if it does not accept `identity` either.

    `identity` comes last where the field does not name it. A member that is malformed says nothing; of two that name
    the same coding the last one holds.
    """
    weights: dict[str, float] = {}
    for member in field.split(","):
        read = MEMBER.fullmatch(member)
        if read is not None:
            name = read[1].lower()
            weights[ALIASES.get(name, name)] = float(read[2] or 1)
    others = weights.get("*", 0.0)
    best = max(offered, key=lambda coding: weights.get(coding, others))
    weight = weights.get(best, others)
    return best if weight > 0 and weight >= weights.get(IDENTITY, others) else IDENTITY


class ContentNegotiation:
    """Chooses for clients that repeat themselves.

    Mutable state: what was chosen for the fields of late.
    """

    __slots__ = ("_chosen", "_offered")

    def __init__(self, offered: Sequence[str]) -> None:
        """`offered` are one coding at least, the best one first."""
        self._offered = tuple(offered)
        self._chosen: Recent[str] = Recent(FIELDS_KEPT)

    def choose(self, lines: tuple[bytes, ...]) -> str:
        """`choose_coding` for the field's lines; `identity` for a request without one, which may have any coding by the
        RFC but seldom knows what to do with it."""
        chosen = self._chosen.get(lines)
        if chosen is None:
            if sum(map(len, lines)) > LONGEST:
                return IDENTITY
            chosen = choose_coding(b",".join(lines).decode("latin-1"), self._offered)
            self._chosen.put(lines, chosen)
        return chosen

    def __len__(self) -> int:
        """Of how many fields the outcome is remembered."""
        return len(self._chosen)

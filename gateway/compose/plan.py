"""What a composition is made of, settled at load: its parts, what each of them needs, how they become one answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from gateway.chain import EMPTY, Chain
from gateway.compose.template import JsonTemplate, TargetTemplate, TextTemplate

if TYPE_CHECKING:
    from gateway.compose.expression import Expression
    from gateway.compose.part_cache import PartCache
    from gateway.legacy.codec import Codec
    from gateway.shaping.pick import Pick
    from gateway.upstreams.upstream import Upstream

Merge = Literal["namespaced", "shallow", "deep"]
Policy = Literal["required", "any", "all"]
Resort = Literal["fail", "omit", "null", "value", "from"]


@dataclass(frozen=True, slots=True, eq=False)
class OnError:
    """What becomes of a part that fails. `value` stands in for it, for the kinds null and value; `upstream` is asked in
    place of its own, for `target`, or for the same where that is None."""

    kind: Resort = "omit"
    value: Any = None
    upstream: str = ""
    target: TargetTemplate | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One service's share of the answer. Times are in seconds, sizes in bytes.

    `needs` are the numbers of the parts that it refers to. `key` is where its value stands in the answer, None where
    its own fields are merged in. `fixed` are header lines that every request has, `forwarded` names (lower case) of
    the client's fields that it gets beside those that all parts get, `named` those (lower case) that it has in their
    place. With `foreach` it is asked once for each item of a
    list, for the first `most` of them, `concurrency` at a time. `spliced`: its answer is passed on as it came;
    `referred`: other parts refer to it. `asks` is its upstream with retries of its own, else None.
    """

    name: str
    number: int
    label: str
    upstream: str
    target: TargetTemplate
    method: str = "GET"
    fixed: tuple[bytes, ...] = ()
    headers: tuple[tuple[str, TextTemplate], ...] = ()
    forwarded: frozenset[bytes] = frozenset()
    named: frozenset[bytes] = frozenset()
    body: JsonTemplate | None = None
    codec: Codec | None = None
    pick: Pick | None = None
    key: str | None = None
    required: bool = False
    timeout: float = 5.0
    max_body: int = 1 << 20
    on_error: OnError = OnError()
    when: Expression | None = None
    foreach: Expression | None = None
    most: int = 16
    concurrency: int = 4
    needs: tuple[int, ...] = ()
    spliced: bool = False
    referred: bool = False
    chain: Chain = EMPTY
    asks: Upstream | None = None
    cache: PartCache | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """All parts in the order of the file, and what the answer is.

    `first` need no other part, `waits` says how many each of them needs, `followers` are those that need it. `errors`
    is the key of the list of errors, None for none; `timings` is Server-Timing up to its numbers. `collided` grows: the
    fields that several parts were found to say.
    """

    name: str
    parts: tuple[Part, ...]
    timeout: float | None = None
    merge: Merge = "namespaced"
    status: Policy = "required"
    headers: tuple[tuple[str, str], ...] = ()
    errors: str | None = None
    timing: bool = True
    collided: set[str] = field(default_factory=set)
    first: tuple[Part, ...] = field(init=False)
    followers: tuple[tuple[Part, ...], ...] = field(init=False)
    waits: tuple[int, ...] = field(init=False)
    timings: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "first", tuple(part for part in self.parts if not part.needs))
        object.__setattr__(self, "timings", ", ".join(f"{part.name};dur=%.1f" for part in self.parts))
        object.__setattr__(self, "waits", tuple(len(part.needs) for part in self.parts))
        followers = tuple(tuple(other for other in self.parts if part.number in other.needs) for part in self.parts)
        object.__setattr__(self, "followers", followers)


def find_cycle(needs: Sequence[Sequence[int]]) -> list[int]:
    """A way round through parts that need each other, by their numbers, the first one at both ends; empty without one.
    `needs` holds what each part needs."""
    settled: set[int] = set()
    for start in range(len(needs)):
        way: list[int] = []
        if _walk(start, needs, settled, way):
            return way[way.index(way[-1]) :]
    return []


def _walk(number: int, needs: Sequence[Sequence[int]], settled: set[int], way: list[int]) -> bool:
    """Go on from `number`, depth first; True when the way has come back to itself."""
    way.append(number)
    if number in way[:-1]:
        return True
    if number not in settled and any(_walk(needed, needs, settled, way) for needed in needs[number]):
        return True
    settled.add(number)
    way.pop()
    return False

"""What a part's upstream is asked, one call of it under way, and the calls of a part that is asked for each item."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.compose.plan import Part
from gateway.compose.results import Result, unaskable
from gateway.compose.template import MISSING, TargetTemplate, Unresolved
from gateway.shaping.exact import write
from gateway.subrequest import SubrequestStream
from gateway.wire.fields import field_line

if TYPE_CHECKING:
    from gateway.compose.run import Composition

JSON_TYPE = b"Content-Type: application/json\r\n"
CONTENT_TYPE = frozenset([b"content-type"])


class Question(NamedTuple):
    """What an upstream is asked. `lines` are header lines of its own, beside those that are passed on."""

    target: str
    lines: tuple[bytes, ...]
    body: bytes | None


def question(part: Part, composition: Composition, item: Any, target: TargetTemplate) -> Question:
    """What a part asks, for an item or MISSING. Unresolved, and ValueError for what cannot be written."""
    lines = part.fixed
    if part.headers:
        lines += tuple([field_line(name, template.expand(composition, item)) for name, template in part.headers])
    if part.body is None:
        return Question(target.expand(composition, item), lines, None)
    content = part.body.expand(composition, item)
    if isinstance(content, bytes):
        body = content
        lines = (*composition.exchange.headers.lines_of(CONTENT_TYPE - part.named), *lines)
    elif part.codec is not None:
        body, content_type = part.codec.encode(content)
        if b"content-type" not in part.named:
            lines = (field_line("Content-Type", content_type), *lines)
    else:
        try:
            body = write(content)
        except TypeError:
            # Claims may hold half a surrogate pair.
            raise ValueError("its body would not be JSON") from None
        if b"content-type" not in part.named:
            lines = (JSON_TYPE, *lines)
    return Question(target.expand(composition, item), lines, body)


class Call(SubrequestStream):
    """One question under way. `items` are those that it is asked for, None for a part that is asked once; `resort` says
    that it goes to the upstream of `on_error`; `begun` is when the part did."""

    __slots__ = ("begun", "composition", "indexes", "items", "part", "question", "resort")

    def __init__(
        self,
        composition: Composition,
        part: Part,
        asked: Question,
        begun: float,
        items: Items | None = None,
        indexes: Sequence[int] = (),
        resort: bool = False,
    ) -> None:
        SubrequestStream.__init__(self, composition, part.max_body)
        self.composition = composition
        self.part = part
        self.question = asked
        self.begun = begun
        self.items = items
        self.indexes = indexes
        self.resort = resort

    def over(self) -> None:
        composition = self.composition
        try:
            composition.take(self)
        except Exception as error:
            composition.crashed(error)

    @property
    def item(self) -> Any:
        """What it is asked for."""
        return self.items.items[self.indexes[0]] if self.items is not None else MISSING

    def settle(self, result: Result) -> None:
        """This came of it."""
        if self.items is None:
            result.seconds = monotonic() - self.begun
            self.composition.settled(self.part, result)
        else:
            self.items.settle(self.indexes, result)


class Items:
    """A part that is asked for each item of a list.

    Mutable state: the questions that wait, each with whether it goes to the upstream of `on_error` and the items that
    come to it; the results by item, how many are missing, and how many calls are under way.
    """

    __slots__ = (
        "_composition",
        "_missing",
        "_part",
        "_pumping",
        "_results",
        "_under_way",
        "_waiting",
        "begun",
        "items",
    )

    def __init__(self, composition: Composition, part: Part, items: Sequence[Any]) -> None:
        self._composition = composition
        self._part = part
        self.items = items
        self.begun = monotonic()
        self._results: list[Result | None] = [None] * len(items)
        self._missing = len(items)
        self._under_way = 0
        self._pumping = False
        self._waiting: list[tuple[tuple[Question, bool], list[int]]] = []
        asked: dict[tuple[Question, bool], list[int]] = {}
        for index, item in enumerate(items):
            try:
                asked.setdefault((question(part, composition, item, part.target), False), []).append(index)
            except (Unresolved, ValueError) as error:
                came = composition.unasked(part, item, unaskable(part, error, f" for item {index}"))
                if came is None:
                    # The whole answer has failed.
                    return
                if isinstance(came, Question):
                    asked.setdefault((came, True), []).append(index)
                else:
                    self._results[index] = came
                    self._missing -= 1
        self._waiting = list(asked.items())[::-1]

    def begin(self) -> None:
        """Ask. It may be over before this returns."""
        if self._missing:
            self._pump()
        elif not self._composition.over:
            self._finish()

    def settle(self, indexes: Sequence[int], result: Result) -> None:
        """A call for these items is over: the next one may begin."""
        for index in indexes:
            self._results[index] = result
        self._missing -= len(indexes)
        self._under_way -= 1
        if not self._missing:
            self._finish()
        else:
            self._pump()

    def _pump(self) -> None:
        """As many calls as may run at a time. One that is over before it is sent comes back here: once is enough."""
        if self._pumping:
            return
        self._pumping = True
        composition, part = self._composition, self._part
        while self._waiting and self._under_way < part.concurrency and not composition.over:
            (asked, resort), indexes = self._waiting.pop()
            self._under_way += 1
            composition.ask(Call(composition, part, asked, self.begun, self, indexes, resort))
        self._pumping = False

    def _finish(self) -> None:
        """One list, without those that are absent."""
        results = [result for result in self._results if result is not None and result.state != "absent"]
        whole = len(results) == len(self._results) and all(result.state == "came" for result in results)
        values = [result.value if self._part.referred else result.shown for result in results]
        joined = Result("came" if whole else "stands_in", values)
        joined.seconds = monotonic() - self.begun
        self._composition.settled(self._part, joined)

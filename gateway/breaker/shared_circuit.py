"""A circuit that all workers of a gateway keep together. Pure: time is passed in.

Each worker judges and tells; nobody is in charge. Every change of state has a rank, one above that of the state before,
and whoever reads a higher rank than its own takes that state over. What is counted in a state counts together among
those who are in it. Of two changes made at once the later in STATES holds: open before closed, and the operator's word,
which leaps over ranks, before any other.

Counts are exchanged at ticks, so no request pays for it, and a circuit may open a tick late. A success in any worker
ends what failed in a row in all, as far as ticks have told. Who may be a probe is looked up at once.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from gateway.breaker.circuit import STATES, Circuit, Force, Listener, Permit, Policy, State
from gateway.breaker.window import EVENTS, FAILURE, REJECTED, RESULTS, SLOW, SUCCESS, TIMEOUT

if TYPE_CHECKING:
    from gateway.state.records import Record

# What a record holds, and from COUNTS on the counts of the window. Ranks are whole numbers that doubles hold exactly.
RANK, SINCE, PROBING, PASSED, PROBED_AT, IN_FLIGHT, IN_A_ROW, SUCCESSES, COUNTS = range(9)
# How far the operator's word is ahead of what calls bring about.
LEAP: Final = 1 << 24


class SharedCircuit(Circuit):
    """One worker's view of it. `in_flight`, `window` and what is probed are its own.

    Mutable state, besides: the rank of the state; what the others have counted, to judge with; what they had told, and
    what there was of its own, when it last looked; and how far the next change ranks above the last.
    """

    __slots__ = (
        "_counts",
        "_others",
        "_others_in_a_row",
        "_own_successes",
        "_rank",
        "_record",
        "_seen",
        "_shown",
        "_step",
        "_successes",
    )

    def __init__(
        self,
        name: str,
        policy: Policy,
        now: float,
        record: Record,
        listener: Listener | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """`record` is that of this circuit and no other: it is closed by `leave`."""
        self._record = record
        self._rank = self._own_successes = 0
        self._step = 1
        self._successes = 0.0
        self._others: list[tuple[float, ...]] | None = None
        self._seen: list[int] = []
        super().__init__(name, policy, now, listener, draw)
        record.exchange = self.exchange
        self.exchange(now)

    def exchange(self, now: float) -> None:
        """Tell the others what has come, learn the same from them, and judge by all of it."""
        window = self.window
        others = self._record.others()
        if others is self._others and window.counts == self._seen and now < window.until:
            if self.in_flight != self._shown:
                self._tell()
            return
        self._catch_up()
        window.advance(now)
        self._others, self._seen = others, window.counts.copy()
        self._count()
        self._tell()
        if self.state == "closed" or (self.state == "half_open" and self.policy.ramp is not None):
            self._judge(now, True)

    def leave(self) -> None:
        """It is not asked any more: the others hear nothing of what still comes."""
        self._record.close()

    def released(self, permit: Permit) -> None:
        """The call says nothing about the upstream: its permit is free again, and nothing is counted."""
        super().released(permit)
        if self.permit is None:
            self._tell()

    def force(self, state: Force, now: float) -> None:
        """Hold it open or closed, in all workers; `auto` ends that. ValueError for another word."""
        self._catch_up()
        self._step = LEAP
        try:
            super().force(state, now)
        finally:
            self._step = 1

    # decisions

    def _judge(self, now: float, good: bool) -> None:
        super()._judge(now, good)
        if self.state == "half_open" and self.policy.ramp is None:
            self._tell()
            passed = self._passed + sum([told[PASSED] for told in self._alike()])
            if passed >= self.policy.probes:
                self._enter("closed", now)

    def _results(self) -> tuple[int, int, int, int]:
        calls, errors, slow, in_a_row = super()._results()
        counts = self._counts
        failed = counts[FAILURE] + counts[TIMEOUT] + counts[REJECTED]
        return calls + counts[SUCCESS] + failed, errors + failed, slow + counts[SLOW], in_a_row + self._others_in_a_row

    def _totals(self, now: float) -> dict[str, int]:
        totals = super()._totals(now)
        for told in self._record.others():
            for event, name in enumerate(EVENTS):
                # What was refused and what fallbacks did is for the eye, in whatever state.
                if event >= RESULTS.stop or told[RANK] == self._rank:
                    totals[name] += int(told[COUNTS + event])
        return totals

    def _under_way(self) -> int:
        return self.in_flight + sum([int(told[IN_FLIGHT]) for told in self._record.others()])

    def _tries(self, now: float) -> bool:
        policy = self.policy
        if policy.ramp is not None:
            return super()._tries(now)
        taken, probed_at = self._probes()
        if self._probing + taken >= policy.probes and now - max(probed_at, self._probed_at) < policy.sleep:
            return False
        before, self._probed_at = self._probed_at, now
        self._probing += 1
        self._tell()
        # Another worker may have done the same at the same moment: then neither does.
        found, _ = self._probes()
        if found > taken and self._probing + found > policy.probes:
            self._probing -= 1
            self._probed_at = before
            self._tell()
            return False
        return True

    def _probes(self) -> tuple[int, float]:
        """How many probes of others are under way, and when the last one began."""
        alike = self._alike()
        return sum([int(told[PROBING]) for told in alike]), max([told[PROBED_AT] for told in alike], default=self.since)

    # the others

    def _alike(self) -> list[tuple[float, ...]]:
        """What those tell who are in the same state, from the same change on."""
        return [told for told in self._record.others() if told[RANK] == self._rank]

    def _enter(self, state: State, now: float) -> None:
        # Where another worker was faster, its word holds.
        if self._step == 1 and self._catch_up():
            return
        super()._enter(state, now)

    def _catch_up(self) -> bool:
        """Take over the state of whoever is ahead. Is there anybody?"""
        ahead = max(self._record.others(), default=None)
        if ahead is None or ahead[RANK] <= self._rank:
            return False
        before = self.state
        self._rank = int(ahead[RANK])
        self.state = STATES[self._rank % len(STATES)]
        self.since = ahead[SINCE]
        self._begin()
        if self.listener is not None:
            self.listener(self, before, None)
        return True

    def _begin(self) -> None:
        super()._begin()
        code = STATES.index(self.state)
        if self._rank % len(STATES) != code:
            # It is a change of this worker's own.
            self._rank = (self._rank // len(STATES) + self._step) * len(STATES) + code
        self._counts = [0] * len(EVENTS)
        self._others_in_a_row = 0
        self._tell()

    def _count(self) -> None:
        """What the others have counted in the present state."""
        alike = self._alike()
        self._counts = [int(sum(column)) for column in zip(*alike, strict=True)][COUNTS:] or [0] * len(EVENTS)
        successes = sum([told[SUCCESSES] for told in self._record.others()])
        if successes != self._successes:
            self._in_a_row = 0
            self._successes = successes
        own = self._ever_succeeded()
        # What they have told of failures in a row was before they knew that these were ended here.
        self._others_in_a_row = 0 if own != self._own_successes else int(sum([told[IN_A_ROW] for told in alike]))
        self._own_successes = own

    def _ever_succeeded(self) -> int:
        return self.window.forgotten + self.window.total(SUCCESS)

    def _tell(self) -> None:
        self._shown = self.in_flight
        self._record.tell(
            (
                self._rank,
                self.since,
                self._probing,
                self._passed,
                self._probed_at,
                self.in_flight,
                self._in_a_row,
                self._ever_succeeded(),
                *self.window.sums(),
            )
        )

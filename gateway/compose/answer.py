"""The answer of a composition: its status by the policy, its body, and the fields that tell of the parts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from gateway.answers.conditional import entity_tag, not_modified
from gateway.compose.merge import merged
from gateway.compose.plan import Part, Plan
from gateway.compose.results import Result
from gateway.errors import GatewayError
from gateway.exchange import Exchange, Reply

log = logging.getLogger("gateway.compose")
COMPLETED = "X-Gateway-Completed"
# What Server-Timing says of a part.
WORDS = {"came": "", "skipped": ";desc=skipped", "stands_in": ";desc=stands-in", "absent": ";desc=failed"}
CACHEABLE = frozenset(["GET", "HEAD"])

Failures = Sequence[tuple[Part, GatewayError]]


def verdict(plan: Plan, results: Sequence[Result], failures: Failures) -> GatewayError | None:
    """The failure that the whole answer is, None for an answer. A required part's has come here never."""
    if not failures or plan.status == "required":
        return None
    if plan.status == "any":
        return None if any(result.state == "came" for result in results) else failures[0][1]
    # A part that another upstream answered for has come.
    return next((error for part, error in failures if results[part.number].state != "came"), None)


def composed(plan: Plan, exchange: Exchange, results: Sequence[Result], failures: Failures) -> Reply:
    """The answer; 304 where the client has it already (RFC 9110 §13.1.2)."""
    shown: list[tuple[str | None, Any]] = [
        (part.key, result.shown)
        for part, result in zip(plan.parts, results, strict=True)
        if result.state in ("came", "stands_in")
    ]
    if failures and plan.errors is not None:
        shown.append((plan.errors, [_told(part, error) for part, error in failures]))
    body = merged(shown, plan.merge, lambda field: _note_collision(plan, field))
    headers = dict(plan.headers)
    if failures:
        # The next answer may be whole: nobody shall keep this one.
        headers = {name: value for name, value in plan.headers if name.lower() != "cache-control"}
        headers["Cache-Control"] = "no-store"
    headers[COMPLETED] = "false" if failures else "true"
    if plan.timing:
        headers["Server-Timing"] = _timing(plan, results)
    if exchange.method in CACHEABLE:
        headers["ETag"] = tag = entity_tag(body)
        if not_modified(exchange.headers.get("if-none-match"), tag):
            headers.pop("Content-Type", None)
            return Reply.empty(304, headers)
    return Reply(200, headers, body)


def _told(part: Part, error: GatewayError) -> dict[str, Any]:
    return {
        "part": part.name,
        "status": error.answer.status,
        "type": error.kind.word,
        "detail": error.detail,
    }


def _timing(plan: Plan, results: Sequence[Result]) -> str:
    """W3C Server Timing: durations are in milliseconds."""
    text = plan.timings % tuple([result.seconds * 1000 for result in results])
    if all(result.state == "came" for result in results):
        return text
    told = zip(text.split(", "), results, strict=True)
    return ", ".join([timing + WORDS[result.state] for timing, result in told])


def _note_collision(plan: Plan, field: str) -> None:
    """Each is told once: what collides does so in every answer."""
    if field not in plan.collided and len(plan.collided) < 100:
        plan.collided.add(field)
        log.warning("%s: several parts say %r, and the last one of them wins", plan.name, field)

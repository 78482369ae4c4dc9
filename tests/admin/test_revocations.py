"""Tokens are taken back through the admin API."""

from pathlib import Path
from typing import Any

import pytest

from gateway.auth.revocations import Revocations
from gateway.plugin import SharedUnavailable
from tests.support.runtimes import running

CLAIMS = {"iss": "i", "jti": "7", "sub": "ada", "iat": 1_000_000}


@pytest.mark.parametrize(("kind", "name"), [("jti", "7"), ("sub", "ada")])
async def test_what_is_revoked_holds_no_more(tmp_path: Path, kind: str, name: str) -> None:
    async with running(tmp_path) as worker:
        revocations = Revocations(worker.runtime.env.shared)
        assert await revocations.hold(CLAIMS)
        answer = await worker.ask("POST", "/api/revocations", json={"issuer": "i", kind: name, "for": "1h"})

        assert (answer.status, answer.data) == (200, {"issuer": "i", kind: name, "seconds": 3600.0})
        assert not await revocations.hold(CLAIMS)
        assert await revocations.hold({**CLAIMS, kind: "other"})
        assert await revocations.hold({**CLAIMS, "iss": "another"})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"jti": "7"}, "'issuer' is missing"),
        ({"issuer": "i"}, "give `jti`"),
        ({"issuer": "i", "jti": "7", "sub": "ada"}, "give `jti`"),
        ({"issuer": "i", "jti": 7}, "'jti' should be text"),
        ({"issuer": "i", "jti": "7", "for": "soon"}, "'for': 'soon' is not a duration"),
        ({"issuer": "i", "jti": "7", "for": "0s"}, "more than 0s"),
        ({"issuer": "i", "jit": "7"}, "did you mean 'jti'"),
    ],
)
async def test_what_names_nothing_is_refused(tmp_path: Path, body: dict[str, Any], said: str) -> None:
    async with running(tmp_path) as worker:
        answer = await worker.ask("POST", "/api/revocations", json=body)

        assert answer.status == 400
        assert said in answer.data["detail"]


async def test_a_store_that_is_away_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*arguments: object) -> None:
        raise SharedUnavailable("away")

    async with running(tmp_path) as worker:
        monkeypatch.setattr(Revocations, "revoke_token", away)
        answer = await worker.ask("POST", "/api/revocations", json={"issuer": "i", "jti": "7"})

    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")

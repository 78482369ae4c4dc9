"""Who may log in to the sample auth service."""

import json

import pytest

from gateway.demo import accounts
from gateway.demo.accounts import PACKAGED_ACCOUNTS, Account, Accounts
from gateway.demo.users import USERS
from tests.support.auth_service import accounts as sample


def test_the_packaged_accounts_are_there() -> None:
    packaged = Accounts.load()

    ada, grace = packaged.log_in("ada", "lovelace"), packaged.log_in("grace", "hopper")

    assert ada is not None
    assert grace is not None
    assert (ada.id, ada.roles) == (1, ("admin", "user"))
    assert (grace.id, grace.roles) == (2, ("user",))
    assert "items:read" in ada.scope & grace.scope


def test_the_packaged_accounts_are_sample_users() -> None:
    rows = json.loads(PACKAGED_ACCOUNTS.read_text())

    assert all(USERS[row["id"]]["name"].lower() == row["user"] for row in rows)


def test_no_packaged_password_is_in_plain_text() -> None:
    assert all(row["password"].startswith("$scrypt$ln=15,") for row in json.loads(PACKAGED_ACCOUNTS.read_text()))


@pytest.mark.parametrize(("user", "password"), [("ada", "hopper"), ("ada", ""), ("Ada", "lovelace"), ("", "")])
def test_nobody_else_logs_in(user: str, password: str) -> None:
    assert sample().log_in(user, password) is None


def test_an_unknown_user_costs_one_hash_and_never_logs_in(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def verify(password: str, stored: str) -> bool:
        asked.append((password, stored))
        return True

    monkeypatch.setattr(accounts, "verify_password", verify)

    found = Accounts([Account(1, "ada", (), frozenset(), "stored")]).log_in("nobody", "lovelace")

    assert found is None
    assert asked == [("lovelace", "stored")]

"""Who may log in to the sample auth service: ada with lovelace, an admin, and grace with hopper."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from gateway.auth.passwords import verify_password

PACKAGED_ACCOUNTS = Path(__file__).with_name("accounts.json")


@dataclass(frozen=True, slots=True)
class Account:
    """One user. `password` is stored as `gateway.auth.passwords` has it, `scope` is all that tokens may hold."""

    id: int
    user: str
    roles: tuple[str, ...]
    scope: frozenset[str]
    password: str


class Accounts:
    """At least one account, by the user's name. Immutable."""

    def __init__(self, accounts: Iterable[Account]) -> None:
        self._accounts = {account.user: account for account in accounts}
        self._any = next(iter(self._accounts.values()))

    @classmethod
    def load(cls, path: Path = PACKAGED_ACCOUNTS) -> Self:
        """The accounts in a file of JSON."""
        return cls(
            Account(row["id"], row["user"], tuple(row["roles"]), frozenset(row["scope"].split()), row["password"])
            for row in json.loads(path.read_text())
        )

    def __getitem__(self, user: str) -> Account:
        return self._accounts[user]

    def log_in(self, user: str, password: str) -> Account | None:
        """The account when the password is right. Takes 0.1 s, known user or not: call it in a thread."""
        account = self._accounts.get(user)
        # Who is unknown must not be told from who is known by the time that it takes.
        right = verify_password(password, (account or self._any).password)
        return account if right else None

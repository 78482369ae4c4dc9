"""The file of users: `user:HASH` on each line, `#` begins a comment."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from gateway.auth.files import read_beside
from gateway.auth.passwords import check_stored


def read_users(folder: Path, name: str) -> dict[str, str]:
    """Each user's stored password. Names are in Unicode's form C, as clients send them (RFC 7617 §2.1).

    ValueError, without a hash in it, that tells every bad line by its number.
    """
    users: dict[str, str] = {}
    wrong: list[str] = []
    for number, line in enumerate(read_beside(folder, name).split(b"\n"), 1):
        try:
            text = line.decode().strip()
            if text and not text.startswith("#"):
                user, stored = _entry(text)
                if user in users:
                    raise ValueError(f"{user!r} is there twice")
                users[user] = stored
        except UnicodeDecodeError:
            wrong.append(f"{name}:{number}: the line is not UTF-8")
        except ValueError as error:
            wrong.append(f"{name}:{number}: {error}")
    if wrong:
        raise ValueError("; ".join(wrong))
    if not users:
        raise ValueError(f"{name} names no user; write a line user:HASH for each")
    return users


def _entry(text: str) -> tuple[str, str]:
    user, colon, stored = text.partition(":")
    if not colon:
        raise ValueError("a line is user:HASH")
    user = unicodedata.normalize("NFC", user)
    if not user or not user.isprintable() or user != user.strip():
        raise ValueError("a user's name is printable text without blanks around it")
    check_stored(stored)
    return user, stored

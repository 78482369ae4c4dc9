"""The file of users: what a line may be, and where a bad one stands."""

from __future__ import annotations

from pathlib import Path

import bcrypt
import pytest

from gateway.auth.password_file import read_users
from gateway.auth.passwords import hash_password

# With a fixed salt, so that tests have the same names in each process.
STORED = bcrypt.hashpw(b"secret", b"$2b$04$" + b"abcdefghijklmnopqrstuu").decode()


def users(folder: Path, text: str | bytes) -> dict[str, str]:
    (folder / "users").write_bytes(text.encode() if isinstance(text, str) else text)
    return read_users(folder, "users")


def test_users_comments_and_empty_lines(tmp_path: Path) -> None:
    scrypt = hash_password("secret")

    assert users(tmp_path, f"# staff\n\nada:{STORED}\r\n  grace hopper:{scrypt}  \n#old:x") == {
        "ada": STORED,
        "grace hopper": scrypt,
    }


def test_names_are_in_form_c(tmp_path: Path) -> None:
    assert users(tmp_path, f"e\u0301:{STORED}") == {"\u00e9": STORED}


@pytest.mark.parametrize(
    ("text", "messages"),
    (
        ("", ["names no user"]),
        ("# nobody\n", ["names no user"]),
        (f"ada:{STORED}\nada {STORED}\n", ["users:2: a line is user:HASH"]),
        (f"ada:{STORED}\n\n:{STORED}", ["users:3: a user's name"]),
        (f"a\0da:{STORED}", ["users:1: a user's name"]),
        (f"ada\x85:{STORED}", ["users:1: a user's name"]),
        (f"ada :{STORED}", ["users:1: a user's name"]),
        (f"ada:{STORED}\nada:{STORED}", ["users:2: 'ada' is there twice"]),
        ("ada:secret", ["users:1: a stored password is"]),
        ("ada:$apr1$salt$secret", ["users:1: a stored password is"]),
        (f"ada:{STORED}:more", ["users:1: a stored password is"]),
        ("ada:", ["users:1: a stored password is"]),
        (f"ada:{STORED[:4]}31{STORED[6:]}", ["users:1: the cost of a bcrypt hash"]),
        (b"\xff:x\nada", ["users:1: the line is not UTF-8", "users:2: a line is"]),
    ),
)
def test_bad_lines_are_told_by_their_numbers(tmp_path: Path, text: str | bytes, messages: list[str]) -> None:
    with pytest.raises(ValueError, match="users") as caught:
        users(tmp_path, text)

    assert [message for message in messages if message not in str(caught.value)] == []
    assert STORED[7:] not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'nowhere' cannot be read"):
        read_users(tmp_path, "nowhere")

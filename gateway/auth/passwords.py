"""Passwords as they are stored: scrypt (RFC 7914) and bcrypt hashes as text."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from hashlib import scrypt
from hmac import compare_digest
from secrets import token_bytes

import bcrypt

SALT_LENGTHS = range(8, 65)
HASH_LENGTHS = range(16, 65)
MAX_LN = 18
MAX_R = 32
MAX_P = 16
# Of ln=18, r=8, p=1: 256 MiB and about a second.
MAX_WORK = 2**18 * 8
BCRYPT_COSTS = range(4, 17)
BCRYPT_LONGEST = 72

_SCRYPT = re.compile(r"\$scrypt\$ln=([1-9]\d?),r=([1-9]\d?),p=([1-9]\d?)\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)", re.ASCII)
# The last characters of salt and hash hold four and two bits that stand for nothing. bcrypt takes them as 0 only.
_BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{30}[.CGKOSWaeimquy26]")


@dataclass(frozen=True, slots=True)
class _Scrypt:
    """2^`ln` is the cost, `r` the block size, `p` the parallelization of RFC 7914 §2."""

    ln: int
    r: int
    p: int
    salt: bytes
    hash: bytes

    @classmethod
    def parse(cls, stored: str) -> _Scrypt:
        match = _SCRYPT.fullmatch(stored)
        if match is None:
            raise ValueError("a scrypt hash is $scrypt$ln=15,r=8,p=1$SALT$HASH, in base64 without padding")
        ln, r, p = (int(match[group]) for group in (1, 2, 3))
        if ln > MAX_LN or r > MAX_R or p > MAX_P or 2**ln * r * p > MAX_WORK:
            raise ValueError(
                f"scrypt with ln={ln}, r={r}, p={p} takes too much memory or time: ln is at most {MAX_LN}, "
                f"r {MAX_R}, p {MAX_P}, and 2^ln * r * p no more than with ln={MAX_LN}, r=8, p=1"
            )
        # RFC 7914 §2: N is less than 2^(128 * r / 8).
        if ln >= 16 * r:
            raise ValueError(f"scrypt has no ln={ln} with r={r}: it is less than {16 * r}")
        salt, digest = _decode(match[4]), _decode(match[5])
        if len(salt) not in SALT_LENGTHS or len(digest) not in HASH_LENGTHS:
            raise ValueError(
                f"the salt of a scrypt hash has {SALT_LENGTHS[0]} to {SALT_LENGTHS[-1]} bytes, "
                f"the hash {HASH_LENGTHS[0]} to {HASH_LENGTHS[-1]}"
            )
        return cls(ln, r, p, salt, digest)

    def verify(self, password: bytes) -> bool:
        return compare_digest(_derive(password, self.salt, self.ln, self.r, self.p, len(self.hash)), self.hash)


def check_stored(stored: str) -> None:
    """ValueError, without the hash in it, for what `verify_password` does not take.

    That is all but scrypt as `hash_password` writes it and bcrypt ($2a$, $2b$, $2y$), and either of them with
    parameters that cost too much memory or time.
    """
    if stored.startswith("$scrypt$"):
        _Scrypt.parse(stored)
        return
    match = _BCRYPT.fullmatch(stored)
    if match is None:
        raise ValueError("a stored password is a scrypt hash ($scrypt$ln=15,...) or a bcrypt hash ($2b$12$...)")
    if int(match[1]) not in BCRYPT_COSTS:
        raise ValueError(f"the cost of a bcrypt hash is {BCRYPT_COSTS[0]:02} to {BCRYPT_COSTS[-1]}, not {match[1]}")


def verify_password(password: str, stored: str) -> bool:
    """Is `password`, in UTF-8, the one that was stored? ValueError as `check_stored`.

    Takes tens of milliseconds and more, without the interpreter's lock: call it in a thread. bcrypt looks at 72 bytes
    only, so with a bcrypt hash a longer password is never right.
    """
    check_stored(stored)
    try:
        given = password.encode()
    except UnicodeEncodeError:
        return False
    if stored.startswith("$scrypt$"):
        return _Scrypt.parse(stored).verify(given)
    return len(given) <= BCRYPT_LONGEST and bcrypt.checkpw(given, stored.encode())


def hash_password(password: str) -> str:
    """What to store for `password`: a scrypt hash under a new salt, of 32 MiB and about 0.1 s.

    ValueError for text that UTF-8 cannot express.
    """
    salt = token_bytes(16)
    digest = _derive(password.encode(), salt, ln=15, r=8, p=1, length=32)
    return f"$scrypt$ln=15,r=8,p=1${_encode(salt)}${_encode(digest)}"


def _derive(password: bytes, salt: bytes, ln: int, r: int, p: int, length: int) -> bytes:
    # OpenSSL allows 32 MiB unless told otherwise; this is what it adds up.
    memory = 128 * r * (2**ln + p + 2)
    return scrypt(password, salt=salt, n=2**ln, r=r, p=p, maxmem=memory, dklen=length)


def _encode(data: bytes) -> str:
    return b64encode(data).decode().rstrip("=")


def _decode(text: str) -> bytes:
    """ValueError for text that `_encode` would not have written."""
    data = b"" if len(text) % 4 == 1 else b64decode(text + "=" * (-len(text) % 4))
    if _encode(data) != text:
        raise ValueError("the salt or the hash is not base64 without padding")
    return data

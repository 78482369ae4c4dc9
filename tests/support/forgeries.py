"""Tokens that must not hold, each with what its sender is told.

Three issuers: ALPHA publishes two RSA keys and one for ES256, BETA has one RSA key in PEM, GAMMA a secret.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from tests.support.issuer import MISSING, SECRET, Key, claims, encoded, forge, key, mint, part, raw_signature

ALPHA, BETA, GAMMA = "https://alpha.example", "https://beta.example", "https://gamma.example"
# The order of P-256 (SEC 2 §2.4.2).
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

UNSIGNED = "the token is not signed"
NOT_ALLOWED = "the token is signed by an algorithm that is not allowed"
UNKNOWN_KEY = "the token is signed by a key that is not known here"
NO_KEY = "the token names no key"
OWN_KEY = "the token brings its own key"
EXTENSIONS = "the token asks for extensions that are not known here"
EXPIRED = "the token has expired"
EARLY = "the token is not valid yet"
FUTURE = "the token was issued in the future"
ELSEWHERE = "the token is meant for somebody else"
STRANGER = "the token's issuer is not known here"
NOBODY = "the token does not say who issued it"
WRONG = "the token's signature is wrong"
MALFORMED = "the token is malformed"
NO_JWT = "the token is not a signed JWT"
INVALID = "the token is not valid"
TOO_LONG = "the token is too long"

Token = Callable[[float], str]
Forgery = tuple[str, Token, str]


def keys() -> dict[str, tuple[Key, ...]]:
    """What each issuer signs with."""
    return {
        ALPHA: (key("RS256", 0), key("RS256", 1), key("ES256")),
        BETA: (key("RS256", 2),),
        GAMMA: (key("HS256"),),
    }


def good(now: float, issuer: str = ALPHA, number: int = 0, headers: dict[str, Any] | None = None, **more: Any) -> str:
    """A token that holds, but for what is changed about it; signed by the issuer's key of that number."""
    return mint(claims(issuer, now, **more), keys()[issuer][number], headers)


def with_header(issuer: str = ALPHA, number: int = 0, **headers: Any) -> Token:
    return lambda now: good(now, issuer, number, headers)


def saying(issuer: str = ALPHA, **more: Any) -> Token:
    return lambda now: good(now, issuer, **more)


def at(seconds: float, *names: str) -> Token:
    """These claims are so many seconds from now."""
    return lambda now: good(now, **dict.fromkeys(names, now + seconds))


def by_stranger(headers: Callable[[Key], dict[str, Any]] = lambda stranger: {}) -> Token:
    """A key that nobody knows signs in ALPHA's name; `headers` makes more parameters of that key."""

    def token(now: float) -> str:
        stranger = key("RS256", 9)
        return mint(claims(ALPHA, now), stranger, {"kid": "RS256-0", **headers(stranger)})

    return token


def unsigned(algorithm: Any, signature: bytes = b"") -> Token:
    return lambda now: forge({"alg": algorithm, "kid": "RS256-0"}, claims(ALPHA, now), signature)


def secret_of_all(issuer: str, form: Callable[[Key], bytes], algorithm: str) -> Token:
    """The public key, which everybody has, as a secret."""

    def token(now: float) -> str:
        public = keys()[issuer][0]
        return mint(claims(issuer, now), Key(public.kid, algorithm, form(public)))

    return token


def der(public: Key) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(public.private.public_key().public_bytes(serialization.Encoding.DER, form))


def cut(change: Callable[[list[str]], list[str]], issuer: str = ALPHA, number: int = 0) -> Token:
    """A good token whose parts are changed afterwards."""
    return lambda now: ".".join(change(good(now, issuer, number).split(".")))


def signed(header: bytes = b"", payload: bytes = b"", signer: Key | None = None) -> Token:
    """These bytes, rightly signed; EXPIRES in the payload becomes when it does."""

    def token(now: float) -> str:
        content = payload.replace(b"EXPIRES", b"%d" % (now + 300)) if payload else claims(ALPHA, now)
        return forge(header or b'{"alg":"RS256","kid":"RS256-0"}', content, signer or key())

    return token


def es256(change: Callable[[bytes], bytes]) -> Token:
    """A token by ES256 whose signature is changed."""

    def token(now: float) -> str:
        head, payload, signature = good(now, ALPHA, 2).split(".")
        return f"{head}.{payload}.{encoded(change(urlsafe_b64decode(signature + '==')))}"

    return token


def malleated(signature: bytes) -> bytes:
    """The other signature that ECDSA has for the same text."""
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    return raw_signature(r, ORDER - s)


def as_der(signature: bytes) -> bytes:
    """As most libraries write it, and JWS does not."""
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    return bytes(encode_dss_signature(r, s))


def promoted(parts: list[str]) -> list[str]:
    """The signature is of a token that said ada."""
    said = urlsafe_b64decode(parts[1] + "==").replace(b'"ada"', b'"root"')
    return [parts[0], encoded(said), parts[2]]


def not_canonical(text: str) -> str:
    """The same bytes by another last letter: a bit is set that nobody reads."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(text) % 4, "every bit is read"
    other = text[:-1] + alphabet[alphabet.index(text[-1]) | 1]
    assert other != text
    assert urlsafe_b64decode(other + "==") == urlsafe_b64decode(text + "==")
    return other


def loose_header(now: float) -> str:
    """Signed over a header that is not canonical base64."""
    text = b'{"alg":"RS256","kid":"RS256-0"}'
    assert len(text) % 3
    start = f"{not_canonical(encoded(text))}.{part(claims(ALPHA, now))}"
    return f"{start}.{encoded(key().sign(start.encode()))}"


def unencoded(now: float) -> str:
    """RFC 7797, without saying that this is critical: what is signed is the payload as it is."""
    payload = b"{}"
    header = encoded(b'{"alg":"RS256","kid":"RS256-0","b64":false}')
    return f"{header}.{part(claims(ALPHA, now))}.{encoded(key().sign(header.encode() + b'.' + payload))}"


PLAIN = b'{"iss":"%b","aud":"api","sub":"ada","exp":EXPIRES%%b}' % ALPHA.encode()


def payload(more: bytes) -> Token:
    return signed(payload=PLAIN % more)


def _algorithms() -> Iterator[Forgery]:
    for name in ("none", "None", "nONE", "NONE"):
        yield f"alg {name}", unsigned(name), UNSIGNED
        yield f"alg {name} with a signature", unsigned(name, b"signature"), UNSIGNED
    for shown in (MISSING, None, ["RS256"], ["none", "RS256"], {}, 0, True):
        yield f"alg is {shown!r}", unsigned(shown), UNSIGNED
    for name in ("", " none", "none ", "RS1", "rs256", "RS256,none", "RS256\n", "HS256", "dir"):
        yield f"alg {name!r}", unsigned(name), NOT_ALLOWED
    yield "alg none, escaped", signed(b'{"\\u0061lg":"n\\u006fne"}'), UNSIGNED
    forms: dict[str, Callable[[Key], bytes]] = {
        "PEM": lambda public: public.pem.encode(),
        "PEM without its last line end": lambda public: public.pem.strip().encode(),
        "DER": der,
    }
    for issuer, (name, form), algorithm in product((ALPHA, BETA), forms.items(), ("HS256", "HS512")):
        yield f"{algorithm} by the {name} of {issuer}", secret_of_all(issuer, form, algorithm), NOT_ALLOWED
    yield "RS256 where there is a secret", lambda now: mint(claims(GAMMA, now), key()), NOT_ALLOWED
    yield "HS512 where HS256 is", lambda now: mint(claims(GAMMA, now), key("HS512")), NOT_ALLOWED
    yield "another secret", lambda now: mint(claims(GAMMA, now), Key("x", "HS256", SECRET[1:].encode())), WRONG
    yield "no secret", lambda now: mint(claims(GAMMA, now), Key("x", "HS256", b"")), WRONG
    yield "PS256", lambda now: mint(claims(ALPHA, now), key("PS256"), {"kid": "RS256-0"}), NOT_ALLOWED
    wrong = {"alg": "RS256", "kid": "RS256-0"}
    yield "RS256 that is PS256", lambda now: forge(wrong, claims(ALPHA, now), key("PS256")), WRONG
    yield "RS256 that is RS512", lambda now: forge(wrong, claims(ALPHA, now), key(), "RS512"), WRONG


def _key_ids() -> Iterator[Forgery]:
    for kid in (
        *("RS256-7", "", "rs256-0", "RS256-0 ", "RS256-0\0", "ES256-0", "0", "*"),
        *("../../../../dev/null", "/dev/null", "..\\..\\nul", "file:///dev/null", "http://127.0.0.1/"),
        *("x' UNION SELECT 'secret", "'; DROP TABLE keys; --", "$(id)", "`id`", "%s%n", "${jndi:ldap://x}"),
        *("a\r\nX-User-Id: root", "a\nb", "\x1b[2J", "ключ", "a" * 256),
    ):
        yield f"kid {kid[:20]!r}", with_header(kid=kid), UNKNOWN_KEY
    for kid in (1, 0, True, ["RS256-0"], {"RS256-0": 1}, "a" * 257, "a" * 4000):
        yield f"kid {str(kid)[:20]} of {type(kid).__name__}, {len(str(kid))} letters", with_header(kid=kid), NO_KEY
    yield "no kid where there are several keys", with_header(kid=MISSING), UNKNOWN_KEY
    yield "kid null where there are several keys", with_header(kid=None), UNKNOWN_KEY
    yield "kid of the other key", with_header(kid="RS256-1"), WRONG
    yield "RS256 with the kid of ES256", with_header(kid="ES256-0"), UNKNOWN_KEY
    yield "beta's key in alpha's name", lambda now: mint(claims(ALPHA, now), key("RS256", 2)), UNKNOWN_KEY
    yield (
        "beta's key in alpha's name, with alpha's kid",
        lambda now: mint(claims(ALPHA, now), key("RS256", 2), {"kid": "RS256-0"}),
        WRONG,
    )
    yield "alpha's key in beta's name", lambda now: mint(claims(BETA, now), key()), WRONG
    yield "gamma's secret in beta's name", lambda now: mint(claims(BETA, now), key("HS256")), NOT_ALLOWED


def _headers() -> Iterator[Forgery]:
    yield "a stranger", by_stranger(), WRONG
    yield "jwk", by_stranger(lambda stranger: {"jwk": stranger.jwk()}), OWN_KEY
    yield "jwk that is null", by_stranger(lambda _: {"jwk": None}), OWN_KEY
    yield "jku", by_stranger(lambda _: {"jku": "https://evil.example/jwks"}), OWN_KEY
    yield "x5u", by_stranger(lambda _: {"x5u": "https://evil.example/x.pem"}), OWN_KEY
    yield "jwk of the right key", lambda now: good(now, headers={"jwk": key().jwk()}), OWN_KEY
    yield "x5c", by_stranger(lambda stranger: {"x5c": [encoded(der(stranger))]}), WRONG
    yield "x5t", by_stranger(lambda _: {"x5t": "AAAA"}), WRONG
    for crit in (["exp"], ["b64"], [], "exp", None, {}):
        yield f"crit {crit!r}", with_header(crit=crit, exp=1), EXTENSIONS
    yield "b64 false, critical", with_header(b64=False, crit=["b64"]), EXTENSIONS
    yield "b64 false", unencoded, INVALID
    yield "b64 false, but encoded", with_header(b64=False), INVALID


def _claims() -> Iterator[Forgery]:
    yield "expired", at(-30, "exp"), EXPIRED
    yield "expired long ago", lambda now: good(now, exp=0), EXPIRED
    yield "expired before all time", saying(exp=-(10**300)), EXPIRED
    yield "not valid yet", at(300, "nbf"), EARLY
    yield "issued in the future", at(300, "iat"), FUTURE
    for name in ("exp", "nbf", "iat"):
        for value in ("2000000000", True, [], {}, [2_000_000_000]):
            yield f"{name} is {value!r}", saying(**{name: value}), f"the claim {name} is no time"
    yield "no exp", saying(exp=MISSING), "the token lacks the claim exp"
    yield "exp null", saying(exp=None), "the token lacks the claim exp"
    for text in (b"NaN", b"Infinity", b"-Infinity", b"1e400", b"1" + b"0" * 400, b"0x1", b"01", b"+1"):
        yield f"exp {text[:9].decode()}", payload(b',"exp":' + text), MALFORMED
    for shown in ("other", "API", "api ", "api,other", ["other", "another"], ["api", 1], {"api": 1}, 1, True):
        yield f"aud {shown!r}", saying(aud=shown), ELSEWHERE
    for absent in (MISSING, None, "", [], 0, False):
        yield f"aud {absent!r}", saying(aud=absent), "the token lacks the claim aud"
    for issuer in ("https://evil.example", "", f"{ALPHA}/", ALPHA.upper(), f"{ALPHA}\0", ALPHA[:-1]):
        yield f"iss {issuer!r}", saying(iss=issuer), STRANGER
    for other in (MISSING, None, 1, [ALPHA], {"iss": ALPHA}):
        yield f"iss {other!r}", saying(iss=other), NOBODY
    for name in ("sub", "jti"):
        for value in (1, None, ["ada"]):
            yield f"{name} {value!r}", saying(**{name: value}), INVALID


def _signatures() -> Iterator[Forgery]:
    for number, name in (0, "RS256"), (2, "ES256"):
        yield f"{name} cut off", cut(lambda parts: [*parts[:2], ""], number=number), WRONG
        yield (
            f"{name} too short",
            cut(lambda parts: [*parts[:2], encoded(urlsafe_b64decode(parts[2] + "==")[:-1])], number=number),
            WRONG,
        )
        yield f"{name} twice", cut(lambda parts: [*parts[:2], encoded(b"x" * 512)], number=number), WRONG
        yield f"{name} of other claims", cut(promoted, number=number), WRONG
    yield "RS256 of zeros", cut(lambda parts: [*parts[:2], encoded(bytes(256))]), WRONG
    for name, r, s in (
        *(("0 and 0", 0, 0), ("0 and 1", 0, 1), ("1 and 0", 1, 0), ("1 and 1", 1, 1)),
        *(("the order, twice", ORDER, ORDER), ("the order and 0", ORDER, 0), ("2^256 - 1", 2**256 - 1, 2**256 - 1)),
    ):
        yield f"ES256 of {name}", es256(lambda _, r=r, s=s: raw_signature(r, s)), WRONG
    yield "ES256 in DER", es256(as_der), WRONG
    yield "ES256 of another key", lambda now: mint(claims(ALPHA, now), key("ES256", 9), {"kid": "ES256-0"}), WRONG
    yield "ES384", lambda now: mint(claims(ALPHA, now), key("ES384"), {"kid": "ES256-0"}), NOT_ALLOWED
    yield (
        "ES256 by P-384",
        lambda now: forge({"alg": "ES256", "kid": "ES256-0"}, claims(ALPHA, now), key("ES384"), "ES256"),
        WRONG,
    )


def _forms() -> Iterator[Forgery]:
    yield "one part", lambda now: "token", NO_JWT
    yield "two parts", cut(lambda parts: parts[:2]), NO_JWT
    yield "four parts", cut(lambda parts: [*parts, ""]), NO_JWT
    yield "JWE", cut(lambda parts: [*parts, "AAAA", "AAAA"]), NO_JWT
    yield "three dots", lambda now: "...", NO_JWT
    yield "two dots", lambda now: "..", MALFORMED
    yield "no header", cut(lambda parts: ["", *parts[1:]]), MALFORMED
    yield "no claims", cut(lambda parts: [parts[0], "", parts[2]]), MALFORMED
    yield "header too short", cut(lambda parts: [parts[0][:-1] + "A" * 4, *parts[1:]]), MALFORMED
    yield "not base64url", cut(lambda parts: [*parts[:2], f"+/{parts[2][2:]}"]), INVALID
    yield "padding in the header", cut(lambda parts: [f"{parts[0]}=", *parts[1:]]), MALFORMED
    yield "three signs of padding", cut(lambda parts: [*parts[:2], f"{parts[2]}==="]), INVALID
    yield "a letter that is none", cut(lambda parts: [*parts[:2], f"{parts[2]}!"]), MALFORMED
    yield "a blank", cut(lambda parts: [parts[0], f" {parts[1]}", parts[2]]), MALFORMED
    yield "a tab", cut(lambda parts: [parts[0], f"{parts[1]}\t", parts[2]]), MALFORMED
    yield "two tokens", lambda now: f"{good(now)} {good(now)}", MALFORMED
    yield "two tokens, a comma", lambda now: f"{good(now)},{good(now)}", MALFORMED
    yield "two fields in one", lambda now: f"{good(now)}, Bearer {good(now)}", MALFORMED
    yield "a parameter", lambda now: f'token="{good(now)}"', MALFORMED
    yield "Latin letters", cut(lambda parts: [*parts[:2], f"{parts[2]}é"]), MALFORMED
    yield "unread bits in the signature", cut(lambda parts: [*parts[:2], not_canonical(parts[2])]), INVALID
    yield "unread bits in the header", loose_header, INVALID
    yield "too long", saying(filler="x" * 8192), TOO_LONG
    for text in (b"", b"null", b"[]", b'"text"', b"1", b"{", b"{}{}", b"\xff", b"\xef\xbb\xbf{}", b"{'alg':'RS256'}"):
        yield f"header {text!r}", signed(header=text or b" "), MALFORMED
        yield f"claims {text!r}", signed(payload=text or b" "), MALFORMED
    yield "claims in UTF-16", signed(payload=PLAIN.decode().encode("utf-16")), MALFORMED
    yield "half a surrogate", payload(b',"name":"\\ud800"'), MALFORMED
    yield "a control character", payload(b',"name":"a\nb"'), MALFORMED
    yield "nested deeply", payload(b',"x":' + b"[" * 1025 + b"]" * 1025), MALFORMED
    yield "nested without an end", payload(b',"x":' + b"[" * 5000), MALFORMED
    yield "alg twice, none last", signed(b'{"alg":"RS256","kid":"RS256-0","alg":"none"}'), UNSIGNED
    yield "alg twice, HS256 last", signed(b'{"alg":"RS256","kid":"RS256-0","alg":"HS256"}'), NOT_ALLOWED
    yield "iss twice, beta last", payload(b',"iss":"%b"' % BETA.encode()), WRONG
    yield "aud twice, another last", payload(b',"aud":"other"'), ELSEWHERE
    yield "exp twice, the past last", payload(b',"exp":1'), EXPIRED


def forgeries() -> list[Forgery]:
    """Name, token at a time, and what is told."""
    return [*_algorithms(), *_key_ids(), *_headers(), *_claims(), *_signatures(), *_forms()]

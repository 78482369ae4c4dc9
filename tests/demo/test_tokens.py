"""Sessions and their tokens, with time passed in."""

import base64

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.demo.signing import SigningKeys
from gateway.demo.tokens import ACCESS_LIFETIME, SESSION_LIFETIME, Claims, Session, Tokens
from tests.support.auth_service import ISSUER, NOW, accounts, signing_key

SCOPE = frozenset({"items:read", "items:write"})


@pytest.fixture
def tokens() -> Tokens:
    return Tokens(ISSUER, SigningKeys(signing_key()))


@pytest.fixture
def session(tokens: Tokens) -> Session:
    return tokens.begin(accounts()["ada"], SCOPE, NOW)


def claims_of(token: str) -> Claims:
    return jwt.decode(token, options={"verify_signature": False})


def test_the_claims_of_an_access_token(tokens: Tokens, session: Session) -> None:
    token, expires_in = tokens.access_token(session, SCOPE, NOW)

    claims = claims_of(token)
    assert {name: claims[name] for name in claims.keys() - {"jti", "sid"}} == {
        "iss": ISSUER,
        "sub": "1",
        "aud": "api",
        "iat": NOW,
        "exp": NOW + 300,
        "scope": "items:read items:write",
        "roles": ["admin", "user"],
        "preferred_username": "ada",
    }
    assert expires_in == 300
    assert tokens.read_access(token, NOW) == claims


def test_no_two_access_tokens_share_an_id(tokens: Tokens, session: Session) -> None:
    first, second = (claims_of(tokens.access_token(session, SCOPE, NOW)[0]) for _ in range(2))

    assert first["jti"] != second["jti"]
    assert first["sid"] == second["sid"]


def test_an_access_token_expires(tokens: Tokens, session: Session) -> None:
    token, _ = tokens.access_token(session, SCOPE, NOW)

    assert tokens.read_access(token, NOW + ACCESS_LIFETIME - 1) is not None
    assert tokens.read_access(token, NOW + ACCESS_LIFETIME) is None


def test_no_access_token_outlives_its_session(tokens: Tokens, session: Session) -> None:
    late = NOW + SESSION_LIFETIME - 10

    token, expires_in = tokens.access_token(session, SCOPE, late)

    assert expires_in == 10
    assert claims_of(token)["exp"] == NOW + SESSION_LIFETIME


def test_a_refresh_token_is_replaced_by_its_use(tokens: Tokens, session: Session) -> None:
    first = tokens.refresh_token(session)

    assert tokens.use_refresh(first, NOW) is session
    second = tokens.refresh_token(session)

    assert second != first
    assert tokens.read_refresh(first, NOW) is None
    assert tokens.read_refresh(second, NOW) is session
    assert tokens.use_refresh(second, NOW) is session


def test_a_refresh_token_that_comes_twice_ends_its_session_alone(tokens: Tokens, session: Session) -> None:
    other = tokens.begin(accounts()["ada"], SCOPE, NOW)
    access, _ = tokens.access_token(session, SCOPE, NOW)
    first = tokens.refresh_token(session)
    tokens.use_refresh(first, NOW)
    second = tokens.refresh_token(session)

    assert tokens.use_refresh(first, NOW) is None

    assert tokens.use_refresh(second, NOW) is None
    assert tokens.read_access(access, NOW) is None
    assert tokens.use_refresh(tokens.refresh_token(other), NOW) is other


def test_a_session_ends_by_time_however_often_it_is_refreshed(tokens: Tokens, session: Session) -> None:
    end = NOW + SESSION_LIFETIME
    token = tokens.refresh_token(session)

    assert tokens.read_refresh(token, end - 1) is session
    assert tokens.use_refresh(token, end) is None


def test_sessions_that_have_ended_are_not_kept(tokens: Tokens, session: Session) -> None:
    later = tokens.begin(accounts()["ada"], SCOPE, NOW + 1)

    tokens.begin(accounts()["ada"], SCOPE, NOW + SESSION_LIFETIME)

    assert session.id not in tokens._sessions
    assert later.id in tokens._sessions


def test_a_revoked_access_token_leaves_others_of_its_session(tokens: Tokens, session: Session) -> None:
    revoked, _ = tokens.access_token(session, SCOPE, NOW)
    other, _ = tokens.access_token(session, SCOPE, NOW)

    tokens.revoke_access(claims_of(revoked), NOW)

    assert tokens.read_access(revoked, NOW) is None
    assert tokens.read_access(other, NOW) is not None


def test_revocations_are_kept_until_the_token_expires_anyway(tokens: Tokens, session: Session) -> None:
    first, second = (claims_of(tokens.access_token(session, SCOPE, NOW + late)[0]) for late in (0, 100))
    tokens.revoke_access(first, NOW)

    tokens.revoke_access(second, NOW + ACCESS_LIFETIME)

    assert set(tokens._revoked) == {second["jti"]}


def test_an_exchanged_token_is_the_same_session_s_for_another_audience(tokens: Tokens, session: Session) -> None:
    token, _ = tokens.access_token(session, SCOPE, NOW)
    subject = claims_of(token)

    exchanged, expires_in = tokens.exchanged_token(subject, "catalog", frozenset({"items:read"}), NOW + 100)

    claims = claims_of(exchanged)
    assert expires_in == 200
    assert claims["jti"] != subject["jti"]
    changed = {name for name, value in claims.items() if value != subject[name]}
    assert changed == {"aud", "scope", "iat", "jti"}
    assert (claims["aud"], claims["scope"], claims["iat"]) == ("catalog", "items:read", NOW + 100)
    tokens.end(session)
    assert tokens.read_access(exchanged, NOW) is None


def test_the_session_of_any_token_that_was_given_out(tokens: Tokens, session: Session) -> None:
    access, _ = tokens.access_token(session, SCOPE, NOW)
    used = tokens.refresh_token(session)
    tokens.use_refresh(used, NOW)
    good = tokens.refresh_token(session)

    assert [tokens.session_of(token, NOW + ACCESS_LIFETIME) for token in (access, used, good)] == [session] * 3
    assert tokens.session_of("x", NOW) is None
    tokens.end(session)
    assert [tokens.session_of(token, NOW) for token in (access, used, good)] == [None] * 3


@given(st.integers(0, 35), st.integers(1, 255))
def test_a_refresh_token_cannot_be_changed(position: int, flip: int) -> None:
    tokens = Tokens(ISSUER, SigningKeys(signing_key()))
    session = tokens.begin(accounts()["ada"], SCOPE, NOW)
    data = bytearray(base64.urlsafe_b64decode(tokens.refresh_token(session)))
    data[position] ^= flip

    assert tokens.use_refresh(base64.urlsafe_b64encode(data).decode(), NOW) is None
    assert tokens.read_refresh(tokens.refresh_token(session), NOW) is session


@pytest.mark.parametrize("token", ["", "x", "é", "=", "AAAA", "A" * 48, "A" * 4000, "\ud800"])
def test_what_is_no_refresh_token(tokens: Tokens, token: str) -> None:
    assert tokens.read_refresh(token, NOW) is None
    assert tokens.use_refresh(token, NOW) is None


def test_the_tokens_of_another_service_are_not_good(tokens: Tokens, session: Session) -> None:
    other = Tokens(ISSUER, SigningKeys(signing_key(1)))

    assert other.read_access(tokens.access_token(session, SCOPE, NOW)[0], NOW) is None
    assert other.use_refresh(tokens.refresh_token(session), NOW) is None

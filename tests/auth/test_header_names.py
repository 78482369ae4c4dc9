"""Which headers may carry credentials and identities, and how else services would read their names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.header_names import check_credential_header, check_identity_headers, other_spellings
from gateway.wire.headers import lower_spelling


@pytest.mark.parametrize("name", ("X-Api-Key", "apikey", "Authorization", "X-A-B-C-D"))
def test_headers_that_may_carry_a_credential(name: str) -> None:
    check_credential_header(name)


@pytest.mark.parametrize(
    ("name", "message"),
    (
        ("", "no header name"),
        ("X Key", "no header name"),
        ("X-Schlüssel", "no header name"),
        ("X-Key\r\n", "no header name"),
        ("Host", "gateway's own"),
        ("content-length", "gateway's own"),
        ("Content_Length", "gateway's own"),
        ("Connection", "gateway's own"),
        ("Proxy", "gateway's own"),
        ("X-Forwarded-User", "gateway's own"),
        ("x_real_ip", "gateway's own"),
        ("A-B-C-D-E-F", "more than 4 hyphens"),
    ),
)
def test_headers_that_may_not(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_credential_header(name)


@pytest.mark.parametrize("name", ("Authorization", "Cookie", "cookie", "X-Api-Key", "x_api-key"))
def test_what_clients_send_themselves_is_no_identity(name: str) -> None:
    with pytest.raises(ValueError, match="every client's request"):
        check_identity_headers(["X-User", name], credential="X-Api-Key")


@pytest.mark.parametrize(
    "name",
    (
        *(
            "Connection",
            "Content-Length",
            "Forwarded",
            "Host",
            "Keep-Alive",
            "TE",
            "Trailer",
        ),
        *("Proxy-Connection", "Transfer-Encoding", "Transfer_Encoding", "Upgrade", "Via", "X-Forwarded-For", "host"),
    ),
)
def test_headers_with_a_meaning_carry_no_identity(name: str) -> None:
    with pytest.raises(ValueError, match="has a meaning of its own"):
        check_identity_headers(["X-User", name])


@pytest.mark.parametrize("name", ("X User", "X:User", "", "Ä", "X\n", "X\r\nY", "X\0"))
def test_what_is_no_header_name(name: str) -> None:
    with pytest.raises(ValueError, match="is no header name"):
        check_identity_headers(["X-User", name])


def test_good_header_names() -> None:
    check_identity_headers(["X-User", "x-roles", "Remote_User", "!#$"])
    check_identity_headers([])


def test_other_spellings() -> None:
    assert other_spellings("key") == ()
    assert set(other_spellings("X-Api-Key")) == {"X_Api-Key", "X-Api_Key", "X_Api_Key"}
    assert set(other_spellings("X_Key")) == {"X-Key"}


@given(st.lists(st.text("abC", max_size=3), min_size=1, max_size=5), st.data())
def test_every_name_that_reads_the_same_is_among_them(words: list[str], data: st.DataObject) -> None:
    separators = data.draw(st.lists(st.sampled_from("-_"), min_size=len(words), max_size=len(words)))
    name = "-".join(words)
    other = "".join(word + separator for word, separator in zip(words, separators, strict=True))[:-1]

    assert other == name or other in other_spellings(name)
    assert {lower_spelling(found.encode()) for found in other_spellings(name)} <= {lower_spelling(name.encode())}

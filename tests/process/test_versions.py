"""Which configurations are kept, and which one a rollback brings back."""

import pickle

import pytest

from gateway.config.files import Kept, Read
from gateway.process import versions as versions_module
from gateway.process.versions import MOST, RELOAD, Version, Versions


def kept(text: str) -> Kept:
    return Kept({"routes.yaml": Read(text.encode(), 0, 100)})


def versions(*texts: str) -> Versions:
    found = Versions()
    for number, text in enumerate(texts, 1):
        found.add(Version(number, "", 0.0, RELOAD, kept(text)))
    return found


def roll_back(found: Versions, number: int = 0) -> int:
    """What a rollback adds; the version that it goes back to."""
    old = found.find(number)
    found.add(Version(max(one.number for one in found) + 1, "", 0.0, "rollback", old.kept, old.origin))
    return old.number


def test_a_version_by_its_number() -> None:
    assert versions("a", "b").find(1).kept == kept("a")
    with pytest.raises(LookupError, match="version 3 is not kept; there are 1, 2"):
        versions("a", "b").find(3)


def test_the_one_before_has_other_files() -> None:
    assert versions("a", "b", "b", "b").find().number == 1
    for nothing in (versions("a"), versions("a", "a")):
        with pytest.raises(LookupError, match="no version before"):
            nothing.find()


def test_a_second_rollback_goes_back_further() -> None:
    found = versions("a", "b", "c")
    assert roll_back(found) == 2
    assert roll_back(found) == 1
    with pytest.raises(LookupError):
        found.find()
    assert [(one.number, one.restored) for one in found] == [(1, 0), (2, 0), (3, 0), (4, 2), (5, 1)]
    assert roll_back(found, 4) == 4
    assert found.find(6).restored == 2, "what a rollback brought back is told by who had it first"
    found.add(Version(7, "", 0.0, RELOAD, kept("d")))
    assert roll_back(found) == 6


def test_the_last_20_are_kept() -> None:
    found = versions(*map(str, range(MOST + 5)))
    assert [one.number for one in found] == list(range(6, MOST + 6))


def test_large_ones_are_fewer_and_the_one_in_service_is_always_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions_module, "MOST_BYTES", 10)
    assert [one.number for one in versions("1234", "1234", "1234")] == [2, 3]
    assert [one.number for one in versions("1", "x" * 50)] == [2]


def test_a_worker_can_be_given_all_of_it() -> None:
    found = pickle.loads(pickle.dumps(versions("a", "b")))
    assert list(found) == list(versions("a", "b"))
    assert "b'" not in repr(list(found))

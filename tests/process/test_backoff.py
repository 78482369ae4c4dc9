"""How soon a worker that has died is replaced."""

from gateway.process.backoff import Backoff


def test_the_first_is_replaced_at_once_and_the_next_later_and_later() -> None:
    backoff = Backoff()
    assert [backoff.pause(0.1) for _ in range(8)] == [0, 1, 2, 4, 8, 16, 30, 30]
    assert repr(backoff) == "<Backoff after 8>"


def test_one_that_lived_long_is_replaced_at_once_again() -> None:
    backoff = Backoff()
    assert [backoff.pause(lived) for lived in (1, 1, 61, 1)] == [0, 1, 0, 1]

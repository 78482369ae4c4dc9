"""What a Locust run must keep to, and where its load may go."""

import pytest

from loadtest.thresholds import Observed, Thresholds, is_loopback, missed

CORE = Observed("core", 1000, 0, 20.0)


def test_a_good_run_misses_nothing():
    assert missed(Thresholds(), [CORE, Observed("download", 10, 0, 2000.0, bulk=True)]) == []


def test_too_many_errors():
    assert missed(Thresholds(), [CORE, Observed("other", 1000, 3, 20.0)]) == [
        "3 of 2000 requests failed, at most 0.10% may"
    ]


def test_too_slow():
    assert missed(Thresholds(max_p95_ms=10.0), [CORE]) == ["core: 95 % within 20 ms, at most 10 ms are allowed"]


def test_bulk_has_a_limit_of_its_own():
    slow = Observed("upload", 1000, 0, 3500.0, bulk=True)
    assert missed(Thresholds(), [slow]) == ["upload: 95 % within 3500 ms, at most 3000 ms are allowed"]


@pytest.mark.parametrize("observed", ([], [Observed("core", 99, 0, 1.0)]))
def test_a_run_of_almost_nothing_proves_nothing(observed):
    assert "at least 100" in missed(Thresholds(), observed)[0]


def test_thresholds_come_from_the_environment():
    variables = {
        "LOAD_MAX_ERROR_SHARE": "0.5",
        "LOAD_MAX_P95_MS": "7",
        "LOAD_MIN_REQUESTS": "1",
        "LOAD_MAX_BULK_P95_MS": "",
    }
    assert Thresholds.from_environment(variables) == Thresholds(0.5, 7.0, 3000.0, 1)


def test_a_threshold_that_is_no_number_is_named():
    with pytest.raises(ValueError, match="LOAD_MAX_P95_MS"):
        Thresholds.from_environment({"LOAD_MAX_P95_MS": "fast"})


@pytest.mark.parametrize(
    "url", ("http://127.0.0.1:8080", "http://127.9.9.9", "http://[::1]:8080", "http://localhost:8080")
)
def test_this_machine_may_be_loaded(url):
    assert is_loopback(url)


@pytest.mark.parametrize(
    "url",
    ("http://example.com", "http://10.0.0.1", "http://localhost.example.com", "http://127.0.0.1.example.com", "x", ""),
)
def test_no_other_machine_may_be_loaded(url):
    assert not is_loopback(url)

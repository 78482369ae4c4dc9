"""Medians, ratios by round, bars and the exit code."""

import pytest

from loadtest.bench.generator import Sample
from loadtest.bench.results import BARS, Figure, Most, Results, Share, Verdict, exit_code, judge
from loadtest.bench.stats import Spread, ratio


def samples(*costs):
    return [Sample(1000, 1.0, cost) for cost in costs]


def test_a_spread_is_median_smallest_and_largest():
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)


def test_rounds_are_compared_with_themselves():
    # Every round the one costs twice the other, though the machine got slower and slower.
    assert ratio([2.0, 20.0, 200.0], [1.0, 10.0, 100.0]) == Spread(2.0, 2.0, 2.0)


def test_rounds_that_do_not_match_are_an_error():
    with pytest.raises(ValueError, match="2 rounds"):
        ratio([1.0, 2.0], [1.0])


def test_a_share_is_judged_by_its_median():
    results = Results(samples={"s": {"a": samples(1.0, 5.0, 1.2), "b": samples(1.0, 1.0, 1.0)}})
    assert Share("a / b", "s", "a", "b", 1.3).value(results) == Spread(1.2, 1.0, 5.0)


def test_a_share_without_its_peer_is_not_measured():
    results = Results(samples={"s": {"a": samples(1.0)}})
    assert Share("a / b", "s", "a", "b", 1.3).value(results) is None


def test_a_label_without_samples_is_not_measured():
    assert Results(samples={"s": {"a": []}}).cpu("s", "a") is None


def test_a_figure_is_judged_as_it_is():
    results = Results(figures={"f": Figure("s", 3.0, "KB", "something")})
    assert Most("something", "s", "f", 5.0, "KB").value(results) == Spread(3.0, 3.0, 3.0)
    assert Most("other", "s", "g", 5.0, "KB").value(results) is None


@pytest.mark.parametrize(
    ("value", "word"),
    ((Spread(1.0, 0.5, 9.0), "pass"), (Spread(1.1, 1.0, 2.0), "MISS"), (None, "not measured")),
)
def test_a_verdict_in_a_word(value, word):
    assert Verdict("bar", 1.0, "x", value).word == word


def test_only_scenarios_that_ran_are_judged():
    says = [verdict.says for verdict in judge(Results(), ["idle"])]
    assert says == ["memory per idle keep-alive connection"]


def test_every_bar_of_the_issue_is_there():
    assert len(judge(Results(), {bar.scenario for bar in BARS})) == len(BARS) == 45


PASS, MISS, BLANK = (Verdict("bar", 1.0, "x", Spread.of([value]) if value else None) for value in (1.0, 2.0, None))


@pytest.mark.parametrize(
    ("problems", "verdicts", "strict", "code"),
    (
        ([], [PASS], True, 0),
        ([], [PASS, MISS], False, 0),
        ([], [PASS, MISS], True, 1),
        ([], [BLANK], False, 0),
        ([], [BLANK], True, 1),
        (["the generator failed"], [PASS], False, 2),
    ),
)
def test_exit_code(problems, verdicts, strict, code):
    assert exit_code(problems, verdicts, strict) == code


@pytest.mark.parametrize(("value", "word"), [(949.0, "MISS"), (950.0, "pass"), (1100.0, "pass")])
def test_a_bar_that_is_to_be_reached(value: float, word: str) -> None:
    name = "admitted.local.least"
    results = Results(figures={name: Figure("admitted", value, "/s", "")})
    (verdict,) = (one for one in judge(results, ["admitted"]) if one.at_least and one.value is not None)

    assert verdict.word == word

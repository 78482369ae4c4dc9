"""Secrets vanish from source lines and from the words of problems."""

from gateway.config.document import parse
from gateway.config.masking import hide_secrets, masked
from gateway.config.problems import Position, Problem


def test_only_the_text_of_secrets_is_hidden() -> None:
    root = parse("f.yaml", b"a: hunter2\nb: other\nc: [x, hunter2]\n").root
    assert root is not None
    hide_secrets(root, {"hunter2"})
    assert root.source.lines == ["a: ***", "b: other", "c: [x, ***", ""]


def test_a_substitution_hides_nothing_in_the_file() -> None:
    root = parse("f.yaml", b"a: ${TOKEN}\n").root
    assert root is not None
    node = root.nearest(("a",))
    node.value, node.substituted = "hunter2", True
    hide_secrets(root, {"hunter2"})
    assert root.source.lines == ["a: ${TOKEN}", ""]


def test_the_words_of_a_problem_are_masked() -> None:
    problem = Problem(Position("f", 1, 1), "unknown upstream 'hunter2'", "write http://hunter2")
    assert masked(problem, {"hunter2", ""}) == Problem(problem.position, "unknown upstream '***'", "write http://***")

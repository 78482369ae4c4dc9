"""Keeps secrets out of what people see: the lines of the files, and the words of problems."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import replace

from gateway.config.nodes import Node
from gateway.config.problems import Problem
from gateway.units import MASK


def hide_secrets(node: Node, secrets: AbstractSet[str]) -> None:
    """Take the text of every scalar under `node` that is one of `secrets` out of the source lines."""
    if secrets:
        for scalar in node.scalars():
            if isinstance(scalar.value, str) and scalar.value in secrets and not scalar.substituted:
                scalar.source.hide(scalar)


def masked(problem: Problem, secrets: AbstractSet[str]) -> Problem:
    """The problem without the text of any of `secrets`."""
    message, hint = problem.message, problem.hint
    for secret in secrets:
        if secret:
            message, hint = message.replace(secret, MASK), hint.replace(secret, MASK)
    return replace(problem, message=message, hint=hint)

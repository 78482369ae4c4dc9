"""From what the user wrote about a composition to its plan: names become numbers, texts become templates."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import jmespath

from gateway.chain import EMPTY, Chain
from gateway.compile_plugins import PluginMaker
from gateway.compile_upstreams import retry_policy
from gateway.compose.expression import Expression
from gateway.compose.part_cache import PartCache
from gateway.compose.plan import OnError, Part, Plan, find_cycle
from gateway.compose.run import Compose
from gateway.compose.template import (
    REQUEST_NAMES,
    JsonTemplate,
    Reference,
    Scope,
    TargetTemplate,
    TextTemplate,
    UnknownName,
    is_body,
    part_numbers,
)
from gateway.config.compose_specs import ComposeSpec, InPlaceSpec, PartSpec
from gateway.config.load import Loaded
from gateway.config.plugin_use import PluginUse
from gateway.config.problems import Problem, Severity, closest
from gateway.errors import ConfigError
from gateway.legacy.codec import Codec
from gateway.legacy.load import make_codec
from gateway.routing.actions import Action
from gateway.routing.pattern import Pattern
from gateway.shaping.pick import compile_pick
from gateway.upstreams.retry import RetryBudget, RetryPolicy
from gateway.upstreams.upstream import Upstream
from gateway.wire.fields import field_line

Place = tuple[Any, ...]
Made = TypeVar("Made")
JSON_ACCEPTED = field_line("Accept", "application/json")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a composition is compiled in; without a `maker` no breaker is made. `problems` and `derived` grow."""

    loaded: Loaded
    upstreams: Mapping[str, Upstream]
    maker: PluginMaker | None
    problems: list[Problem]
    derived: list[Upstream]


def compile_composition(
    around: Surroundings, at: Place, name: str, spec: ComposeSpec, pattern: Pattern
) -> Compose | None:
    """The action of a route of that name, whose `compose` stands at `at`; None, with problems, when it cannot be."""
    known = len(around.problems)
    parts = _Compiler(around, at, name, spec, pattern, tuple(spec.parts)).parts()
    if any(problem.severity == "error" for problem in around.problems[known:]):
        return None
    respond = spec.respond
    return Compose(
        Plan(
            name,
            tuple(parts),
            timeout=float(spec.timeout) if spec.timeout is not None else None,
            merge=respond.merge,
            status=respond.status,
            headers=_answer_headers(respond.headers),
            errors=respond.errors,
            timing=respond.timing,
        )
    )


def check_composition(
    loaded: Loaded, at: Place, spec: ComposeSpec, names: tuple[str, ...], pattern: Pattern
) -> list[Problem]:
    """What is wrong with a composition in a file that does not validate: `spec` holds those of its parts that do,
    `names` are all of them."""
    around = Surroundings(loaded, {}, None, [], [])
    _Compiler(around, at, "", spec, pattern, names).parts()
    return around.problems


def _answer_headers(given: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    named = {name.lower() for name in given}
    own = () if "content-type" in named else (("Content-Type", "application/json"),)
    return (*own, *given.items())


class _Compiler:
    """One composition's. Mutable state: the surroundings'."""

    def __init__(
        self, around: Surroundings, at: Place, name: str, spec: ComposeSpec, pattern: Pattern, names: tuple[str, ...]
    ) -> None:
        self._around = around
        self._at = at
        self._name = name
        self._spec = spec
        self._captures = pattern.names
        self._names = names
        self._numbers = {part: number for number, part in enumerate(names)}

    def parts(self) -> list[Part]:
        """Those that can be made, and all problems."""
        parts = [part for name, spec in self._spec.parts.items() if (part := self._part(name, spec)) is not None]
        self._find_collisions(parts)
        self._find_cycles(parts)
        return parts

    def _refuse(self, at: Place, message: str, hint: str = "") -> None:
        """An error at its place."""
        self._around.problems.append(Problem(self._around.loaded.position(at), message, hint))

    def _refuse_part(self, name: str, message: str, hint: str = "", severity: Severity = "error") -> None:
        """A problem of the part as a whole, where its name stands."""
        position = self._around.loaded.key_position((*self._at, "parts", name))
        self._around.problems.append(Problem(position, message, hint, severity))

    def _part(self, name: str, spec: PartSpec) -> Part | None:
        """One part, or None with problems."""
        at = (*self._at, "parts", name)
        self._check_names(at, name, spec)
        scope = Scope(self._captures, self._numbers, spec.item if spec.foreach is not None else None)
        target = self._made((*at, "path"), lambda: TargetTemplate(spec.path, scope))
        headers = self._headers((*at, "headers"), spec.headers, scope)
        codec = self._codec((*at, "format"), spec)
        body = None
        # A SOAP operation without a body has no parameters, and an envelope all the same.
        if "body" in spec.model_fields_set or (codec is not None and codec.method is not None):
            body = self._made((*at, "body"), lambda: JsonTemplate(spec.body, scope))
        expressions = Scope(self._captures, self._numbers)
        when = self._expression((*at, "when"), spec.when, expressions)
        foreach = self._expression((*at, "foreach"), spec.foreach, expressions)
        pick = self._made((*at, "pick"), lambda: compile_pick(spec.pick or "@")) if spec.pick is not None else None
        on_error, also = self._on_error(at, spec, scope)
        if target is None:
            return None
        references: list[Reference] = [*target.references, *also]
        references += [reference for _, template in headers for reference in template.references]
        references += body.references if body is not None and not body.relays else ()
        needs = self._needs(at, references, (when, foreach))
        key = spec.group or (name if self._spec.respond.merge == "namespaced" else None)
        self._check_key(at, spec, key)
        asked = self._around.upstreams.get(spec.upstream)
        label = f"{self._name}/{name}"
        return Part(
            name,
            self._numbers[name],
            label,
            spec.upstream,
            target,
            method=spec.method,
            fixed=self._fixed(spec, codec),
            headers=headers,
            forwarded=frozenset(header.lower().encode() for header in spec.forward),
            named=frozenset(header.lower().encode() for header in spec.headers),
            body=body,
            codec=codec,
            pick=pick,
            key=key,
            required=spec.required,
            timeout=float(spec.timeout),
            max_body=int(spec.max_body),
            on_error=on_error,
            when=when,
            foreach=foreach,
            most=spec.max,
            concurrency=spec.concurrency,
            needs=needs,
            spliced=pick is None and codec is None and key is not None and self._spec.respond.merge != "deep",
            referred=self._is_referred(name),
            chain=self._chain(label, spec),
            asks=self._derived(asked, spec) if asked is not None else None,
            cache=self._cache(at, spec),
        )

    def _needs(
        self, at: Place, references: Sequence[Reference], expressions: Iterable[Expression | None]
    ) -> tuple[int, ...]:
        """The parts that a part refers to."""
        if any(is_body(reference) for reference in references):
            self._refuse(at, "{request.body} is bytes as they came", 'it can only be all of a body: "{request.body}"')
        needs = part_numbers(references)
        for expression in expressions:
            needs |= expression.parts if expression is not None else set()
        return tuple(sorted(needs))

    def _chain(self, label: str, spec: PartSpec) -> Chain:
        """Its breaker."""
        maker = self._around.maker
        return Chain(maker.make(label, (spec.breaker,))) if spec.breaker is not None and maker is not None else EMPTY

    def _is_referred(self, name: str) -> bool:
        """May another part refer to it? Where that is not certain it is taken to."""
        texts = [text for other, part in self._spec.parts.items() if other != name for text in _texts(part)]
        return any(name in text for text in texts)

    def _check_names(self, at: Place, name: str, spec: PartSpec) -> None:
        if name in REQUEST_NAMES:
            self._refuse_part(name, f"{name!r} stands for something of the request", "give the part another name")
        elif name in self._captures:
            self._refuse_part(name, f"{name!r} is captured by the path, too", "give one of them another name")
        named = {header.lower() for header in spec.headers}
        for number, header in enumerate(spec.forward):
            if header.lower() in named:
                self._refuse((*at, "forward", number), f"{header!r} stands in `headers`, too", "keep one of them")
        if spec.foreach is None:
            for key in ("as", "max", "concurrency"):
                if (key if key != "as" else "item") in spec.model_fields_set:
                    self._refuse(
                        (*at, key), f"{key!r} without 'foreach'", "it is for a part that is asked for each item"
                    )
        elif spec.item in self._captures or spec.item in self._numbers or spec.item in REQUEST_NAMES:
            self._refuse((*at, "as"), f"{spec.item!r} is something else already", "give the item another name")

    def _headers(self, at: Place, given: Mapping[str, str], scope: Scope) -> tuple[tuple[str, TextTemplate], ...]:
        made = []
        for name, text in given.items():
            template = self._made((*at, name), partial(TextTemplate, text, scope))
            if template is not None:
                made.append((name, template))
        return tuple(made)

    def _expression(self, at: Place, text: str | None, scope: Scope) -> Expression | None:
        return self._made(at, partial(Expression, text, scope)) if text is not None else None

    def _codec(self, at: Place, spec: PartSpec) -> Codec | None:
        if spec.format is None:
            return None
        given = spec.format
        codec = self._made(at, lambda: make_codec(given, int(spec.max_body)))
        if codec is not None and codec.method is not None and spec.method != codec.method:
            self._refuse(at, f"it can be asked by {codec.method} alone", f"add method: {codec.method}")
        return codec

    def _fixed(self, spec: PartSpec, codec: Codec | None) -> tuple[bytes, ...]:
        named = {name.lower() for name in (*spec.headers, *spec.forward)}
        fields = (("Accept", codec.accept), *codec.request_headers) if codec is not None else ()
        lines = [JSON_ACCEPTED] if codec is None and "accept" not in named else []
        return tuple(lines + [field_line(name, value) for name, value in fields if name.lower() not in named])

    def _on_error(self, at: Place, spec: PartSpec, scope: Scope) -> tuple[OnError, Sequence[Reference]]:
        given = spec.on_error
        place = (*at, "on_error")
        if isinstance(given, InPlaceSpec):
            if given.upstream is None:
                if spec.required:
                    self._refuse(
                        place,
                        "a required part has nothing in its place",
                        "take `required` away, or ask {from: UPSTREAM}",
                    )
                return OnError("value", given.value), ()
            path = given.path
            target = (
                self._made((*place, "path"), lambda: TargetTemplate(path or "/", scope)) if path is not None else None
            )
            return OnError("from", None, given.upstream, target), target.references if target is not None else ()
        if given in ("omit", "null") and spec.required:
            self._refuse(
                place, f"a required part cannot be left out: on_error {given!r}", "take `required` or `on_error` away"
            )
        return OnError(given or ("fail" if spec.required else "omit")), ()

    def _check_key(self, at: Place, spec: PartSpec, key: str | None) -> None:
        if key is not None:
            return
        if spec.foreach is not None:
            self._refuse((*at, "foreach"), "a list cannot be merged in", "add group: the key that it stands under")
        given = spec.on_error
        if given == "null" or (
            isinstance(given, InPlaceSpec) and given.upstream is None and not isinstance(given.value, dict)
        ):
            hint = "write omit, or {value: {...}}, or add group"
            self._refuse((*at, "on_error"), "what is merged in has to be an object", hint)

    def _derived(self, asked: Upstream, spec: PartSpec) -> Upstream | None:
        """The same upstream with the part's own retries."""
        if spec.retries is None:
            return None
        upstream = retrying(asked, retry_policy(spec.retries))
        self._around.derived.append(upstream)
        return upstream

    def _cache(self, at: Place, spec: PartSpec) -> PartCache | None:
        if spec.cache is None:
            return None
        if spec.method not in ("GET", "HEAD"):
            self._refuse((*at, "cache"), f"answers to {spec.method} are not kept", "a cache is for GET")
        return PartCache(float(spec.cache.seconds), int(spec.cache.size))

    def _find_cycles(self, parts: Sequence[Part]) -> None:
        needs: list[tuple[int, ...]] = [()] * len(self._names)
        for part in parts:
            needs[part.number] = part.needs
        while cycle := find_cycle(needs):
            names = [self._names[number] for number in cycle]
            others = f"the parts need each other: {' needs '.join(names)}"
            self._refuse_part(names[0], others if len(names) > 2 else f"the part {names[0]!r} needs itself")
            for number in cycle:
                needs[number] = ()

    def _find_collisions(self, parts: Sequence[Part]) -> None:
        """Fields that are seen to be said twice. Of two keys that is an error, of merged fields a warning."""
        said: dict[str, str] = {}
        errors = self._spec.respond.errors
        for part in parts:
            keys = [part.key] if part.key is not None else _picked_keys(part.pick.text) if part.pick is not None else ()
            for key in keys:
                if key in said and self._spec.respond.merge != "deep":
                    message = f"the parts {said[key]!r} and {part.name!r} both say {key!r}"
                    both = part.key is not None and self._spec.respond.merge == "namespaced"
                    if both:
                        self._refuse_part(part.name, message, "give one another `group`")
                    else:
                        self._refuse_part(part.name, message, "the last one wins", "warning")
                said.setdefault(key, part.name)
        if errors is not None and errors in said:
            self._refuse((*self._at, "respond", "errors"), f"the part {said[errors]!r} says {errors!r} already")

    def _made(self, at: Place, make: Callable[[], Made]) -> Made | None:
        try:
            return make()
        except UnknownName as error:
            hint = closest(error.name, error.names) or f"there are {', '.join(error.names)}"
            self._refuse(at, str(error), hint)
        except ConfigError as error:
            self._refuse(at, str(error))
        return None


def part_breakers(route: str, spec: ComposeSpec | None) -> Iterator[tuple[str, PluginUse]]:
    """The parts of a route that have a breaker of their own, by their labels."""
    for name, part in (spec.parts if spec is not None else {}).items():
        if part.breaker is not None:
            yield f"{route}/{name}", part.breaker


def asked_upstreams(spec: ComposeSpec | None) -> Iterator[str]:
    """The upstreams that a composition may ask."""
    for part in (spec.parts if spec is not None else {}).values():
        yield part.upstream
        if isinstance(part.on_error, InPlaceSpec) and part.on_error.upstream is not None:
            yield part.on_error.upstream


def parts_of(action: Action) -> Iterator[tuple[str, Chain, str]]:
    """Label, chain and upstream of each part, where the action is a composition."""
    if isinstance(action, Compose):
        for part in action.plan.parts:
            yield part.label, part.chain, part.upstream


def retrying(upstream: Upstream, policy: RetryPolicy) -> Upstream:
    """The same endpoints, balancer and limits, with another policy."""
    twin = copy.copy(upstream)
    twin.retries = policy
    twin.budget = RetryBudget(policy.budget, policy.min_retries)
    twin.replay_limit = policy.replay
    twin.per_try = policy.per_try
    twin.try_timeout = min(upstream.timeouts.response, policy.per_try or upstream.timeouts.response)
    return twin


def _picked_keys(expression: str) -> list[str]:
    """The keys of what an expression makes, where it says them itself: `{id: a, name: b}`."""
    parsed = jmespath.compile(expression).parsed
    return [child["value"] for child in parsed["children"]] if parsed["type"] == "multi_select_dict" else []


def _texts(part: PartSpec) -> list[str]:
    """Where a part may refer to others."""
    texts = [part.path, part.when or "", part.foreach or "", *part.headers.values(), repr(part.body)]
    if isinstance(part.on_error, InPlaceSpec):
        texts.append(part.on_error.path or "")
    return texts

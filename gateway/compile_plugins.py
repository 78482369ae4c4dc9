"""From the entries of `plugins` to instances; those that an edit did not touch live on."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from gateway.config.masking import masked
from gateway.config.options import build_options
from gateway.config.plugin_use import PluginUse
from gateway.config.problems import Problem
from gateway.errors import ConfigError
from gateway.library import Library
from gateway.plugin import Env, Plugin
from gateway.units import Secret

# Route or "" for the top level, name, which of that name.
PluginKey = tuple[str, str, int]
# Equal for instances that may be one, so that not all of 10,000 have to be compared.
Alike = tuple[type[Plugin], int | None]


class PluginMaker:
    """Makes the plugins of one configuration.

    Mutable state: `plugins`, each instance once, under its first entry; `problems`, what was wrong; the instances among
    them that span routes.
    """

    def __init__(
        self, env: Env, library: Library, secrets: frozenset[str], before: Mapping[PluginKey, Plugin] | None = None
    ) -> None:
        """`secrets` are shown in no problem; `before` are the plugins of the generation before."""
        self.plugins: dict[PluginKey, Plugin] = {}
        self.problems: list[Problem] = []
        self._env = env
        self._library = library
        self._secrets = secrets
        self._before = before or {}
        self._spanned: dict[Alike, list[Plugin]] = {}
        self._spanning: dict[Alike, list[Plugin]] = {}
        for plugin in self._before.values():
            if plugin.spans_routes:
                self._spanned.setdefault(_alike(type(plugin), plugin.options), []).append(plugin)

    def make(self, route: str, uses: Iterable[PluginUse], ahead: Sequence[Plugin] = ()) -> tuple[Plugin, ...]:
        """The plugins of a route, or of the top level; `ahead` come before them in the route's chain."""
        made: list[Plugin] = []
        seen: dict[str, int] = {}
        for use in uses:
            number = seen[use.name] = seen.get(use.name, 0) + 1
            plugin = self._make((route, use.name, number), use, (*ahead, *made))
            if plugin is not None:
                made.append(plugin)
        return tuple(made)

    def _make(self, key: PluginKey, use: PluginUse, chain: Sequence[Plugin]) -> Plugin | None:
        try:
            found = self._library.find(use.name)
        except ConfigError as error:
            self.problems.append(Problem(use.position, str(error)))
            return None
        options, problems = build_options(found.Options, use)
        self.problems += problems
        if problems:
            return None
        try:
            return self.put(key, found, options, chain)
        except Exception as error:
            said = str(error) if isinstance(error, ValueError | LookupError) else f"{type(error).__name__}: {error}"
            problem = Problem(use.position, f"the plugin {use.name!r} refuses its options: {said}")
            self.problems.append(masked(problem, self._secrets.union(secrets_in(options))))
            return None

    def put(self, key: PluginKey, found: type[Plugin], options: Any, chain: Sequence[Plugin] = ()) -> Plugin:
        """The instance for an entry, which is under `key` unless another entry has brought it. Whatever its
        constructor raises."""
        plugin = self._instance(key, found, options, chain)
        plugin.name = key[1]
        spanning = self._spanning.get(_alike(found, options), [])
        if plugin not in spanning:
            self.plugins[key] = plugin
            if plugin.spans_routes:
                self._spanning.setdefault(_alike(found, options), []).append(plugin)
        return plugin

    def _instance(self, key: PluginKey, found: type[Plugin], options: Any, chain: Sequence[Plugin]) -> Plugin:
        """One that is there already, has the same options and is no part of this chain, or a new one."""
        twin = sum(type(plugin) is found and plugin.options == options for plugin in chain)
        log = logging.getLogger(f"gateway.plugins.{key[1]}")
        # What reloads a worker has been through says nothing here, so it is the same in all.
        env = replace(self._env, log=log, instance=f"{key[1]} {twin}")
        known = self._before.get(key)
        alike = _alike(found, options)
        spanning = (*self._spanning.get(alike, ()), *self._spanned.get(alike, ()))
        for plugin in (*spanning, *([known] if known is not None else [])):
            if type(plugin) is found and plugin.options == options and plugin not in chain and plugin.is_current(env):
                return plugin
        return found(options, env)


def _alike(found: type[Plugin], options: Any) -> Alike:
    try:
        return found, hash(options)
    except TypeError:
        return found, None


def twins(served: Mapping[Plugin, Mapping[str, Iterable[str]]]) -> Iterator[tuple[Plugin, str]]:
    """Each plugin that claims a name which one before it has, and that name. `served` maps plugins to their routes
    with the upstreams of each."""
    claimed: set[tuple[type[Plugin], str]] = set()
    for plugin, routes in served.items():
        names = list(plugin.unique_names(routes))
        taken = next((name for name in names if (type(plugin), name) in claimed), None)
        if taken is not None:
            yield plugin, taken
        claimed.update((type(plugin), name) for name in names)


def secrets_in(options: Any) -> Iterator[str]:
    """The text of every Secret in a plugin's options."""
    if isinstance(options, Secret):
        yield options.reveal()
    elif dataclasses.is_dataclass(options):
        for one in dataclasses.fields(options):
            yield from secrets_in(getattr(options, one.name))
    elif isinstance(options, dict | list | tuple | set | frozenset):
        for item in options.values() if isinstance(options, dict) else options:
            yield from secrets_in(item)

"""Routes for the paths that plugins answer themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.chain import Chain
from gateway.compile_frontends import RouteSet
from gateway.compile_plugins import PluginKey
from gateway.config.plugin_use import PluginUse
from gateway.config.problems import Problem
from gateway.errors import ConfigError
from gateway.exchange import Reply
from gateway.plugin import Plugin
from gateway.routing.actions import PluginAnswer
from gateway.routing.pattern import parse_pattern
from gateway.routing.predicates import with_head
from gateway.routing.route import Route

# They come before routes of the file that ask for as much.
OWN_ORDER = -1
NOT_ANSWERED = Reply.empty(404)


def own_routes(
    routes: RouteSet,
    alive: Sequence[Route],
    plugins: Mapping[PluginKey, Plugin],
    uses: Mapping[str, Sequence[PluginUse]],
) -> tuple[list[Route], list[Problem]]:
    """What the plugins of these chains answer, whatever host is asked for; and what is wrong with it.

    `alive` are the routes of the file, `plugins` all instances, `uses` their entries by the first part of their keys.
    """
    hosts = dict.fromkeys((None, *(route.match.host for route in routes.specs)))
    keys = {plugin: key for key, plugin in plugins.items()}
    chains = (routes.chain, *(route.chain for route in alive))
    taken: dict[str, Plugin] = {}
    found: list[Route] = []
    problems: list[Problem] = []
    for plugin in dict.fromkeys(plugin for chain in chains for plugin in chain.plugins):
        at, name, number = keys[plugin]
        position = [use for use in uses[at] if use.name == name][number - 1].position
        for path, methods in plugin.own_paths().items():
            if path in taken:
                message = f"the plugins {taken[path].name!r} and {name!r} (at {at or 'the top'}) both answer {path}"
                problems.append(Problem(position, message, "give one another path"))
                continue
            taken[path] = plugin
            try:
                pattern = parse_pattern(path)
            except ConfigError as error:
                problems.append(Problem(position, str(error)))
                continue
            ahead = routes.plugins
            chain = Chain(ahead if plugin in ahead else (*ahead, plugin), plugin.own_body)
            allowed = with_head(tuple(methods))
            found += [
                Route(
                    f"{name}:{path}", pattern, PluginAnswer(name, NOT_ANSWERED), host=host, methods=allowed,
                    order=OWN_ORDER, chain=chain, frontend=routes.frontend,
                )
                for host in hosts
            ]  # fmt: skip
    return found, problems

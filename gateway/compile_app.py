"""From `app:` to an upstream that exists in the route table alone; an application that no edit touched lives on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

from gateway.app_names import upstream_name
from gateway.application.load import Reference
from gateway.application.mount import Mount
from gateway.compile_plugins import PluginMaker
from gateway.config.load import Loaded
from gateway.config.nodes import Node, Path
from gateway.config.plugin_use import PluginUse
from gateway.config.problems import Problem
from gateway.config.specs import RouteSpec
from gateway.errors import ConfigError
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.upstream_meters import UpstreamMeters
from gateway.upstreams.endpoint import Endpoint
from gateway.upstreams.upstream import Upstream, UpstreamTimeouts


class Apps:
    """The applications of one configuration, mounted.

    `upstreams` and `endpoints` are as those of a Generation, `problems` is what is wrong with them. Each is one of
    `maker.plugins` too.
    """

    def __init__(
        self,
        loaded: Loaded,
        places: Iterable[tuple[Path, Sequence[RouteSpec]]],
        maker: PluginMaker,
        metrics: Metrics,
        uses: dict[str, tuple[PluginUse, ...]],
    ) -> None:
        """`places` are lists of routes, each with where it is in the merged tree. `uses` is as that of a Generation;
        what stands in the file for each application is added."""
        self.upstreams: dict[str, Upstream] = {}
        self.endpoints: dict[tuple[str, str], Endpoint] = {}
        self.problems: list[Problem] = []
        self._maker = maker
        self._metrics = metrics
        self._uses = uses
        wanted: list[tuple[str, Node | None]] = []
        for at, routes in places:
            for number, route in enumerate(routes):
                if route.app is not None:
                    wanted.append((route.app, _node(loaded, (*at, "routes", number, "app"))))
        for (place, plugin_name, number), plugin in maker.plugins.items():
            use = [use for use in uses[place] if use.name == plugin_name][number - 1]
            wanted += [(text, use.options_node) for text in plugin.applications]
        for text, node in wanted:
            if upstream_name(text) not in uses:
                self._mount(text, node)

    def _mount(self, text: str, node: Node | None) -> None:
        name = upstream_name(text)
        use = PluginUse(name, {}, node)
        self._uses[name] = (use,)
        try:
            mount = cast(Mount, self._maker.put((name, name, 1), Mount, Reference.parse(text)))
        except ConfigError as error:
            self.problems.append(Problem(use.position, str(error)))
            return
        endpoint = mount.endpoint
        self.endpoints[name, endpoint.address] = endpoint
        meters = UpstreamMeters(self._metrics, name)
        self.upstreams[name] = Upstream(name, [endpoint], UpstreamTimeouts(), meters=meters)


def _node(loaded: Loaded, path: Path) -> Node | None:
    return loaded.root.nearest(path) if loaded.root is not None else None

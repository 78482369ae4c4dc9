"""The effective configuration as plain data: defaults filled in, units as text, secrets as `***`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from gateway.config.frontend_specs import FrontendSpec
from gateway.config.options import build_options, options_holder
from gateway.config.plugin_use import PluginUse
from gateway.config.specs import ConfigSpec
from gateway.units import MASK


def dump(
    spec: ConfigSpec,
    plugin_options: Mapping[str, type | None] | None = None,
    secrets: AbstractSet[str] = frozenset(),
    frontends: Iterable[FrontendSpec] = (),
) -> dict[str, Any]:
    """What `spec` says, ready for JSON, in the shape of the file; `frontends` is a list of what theirs say.

    `plugin_options` gives the options class of each plugin by name: its options are shown with their defaults and
    without their Secret fields. The options of a plugin that is not there are shown as they stand in the file.
    `secrets` (`Loaded.secrets`) are masked wherever they occur.
    """
    classes = plugin_options or {}
    data = _holder(spec, classes)
    data["frontends"] = [_holder(frontend, classes) for frontend in frontends]
    masked: dict[str, Any] = mask_data(data, secrets)
    return masked


def _holder(spec: ConfigSpec | FrontendSpec, classes: Mapping[str, type | None]) -> dict[str, Any]:
    """What has plugins, and routes that have some too."""
    data: dict[str, Any] = spec.model_dump(mode="json", by_alias=True)
    data["plugins"] = [_entry(use, classes) for use in spec.plugins]
    for route, shown in zip(spec.routes, data["routes"], strict=True):
        shown["plugins"] = [_entry(use, classes) for use in route.plugins]
        for name, part in (route.compose.parts if route.compose is not None else {}).items():
            if part.breaker is not None:
                shown["compose"]["parts"][name]["breaker"] = _options(part.breaker, classes)
    return data


def _entry(use: PluginUse, classes: Mapping[str, type | None]) -> Any:
    options = _options(use, classes)
    return {use.name: options} if use.options or classes.get(use.name) is not None else use.name


def _options(use: PluginUse, classes: Mapping[str, type | None]) -> Any:
    options_class = classes.get(use.name)
    if options_class is None:
        return use.options
    options, problems = build_options(options_class, use)
    if problems:
        return use.options
    holder = options_holder(options_class)
    return holder.model_construct(options=options).model_dump(mode="json", by_alias=True, fallback=str)["options"]


def mask_data(data: Any, secrets: AbstractSet[str]) -> Any:
    """Plain data with `***` for every text that holds one of `secrets`."""
    if isinstance(data, dict):
        return {key: mask_data(value, secrets) for key, value in data.items()}
    if isinstance(data, list):
        return [mask_data(value, secrets) for value in data]
    if isinstance(data, str) and any(secret in data for secret in secrets if secret):
        return MASK
    return data

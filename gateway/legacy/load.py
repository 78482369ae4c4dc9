"""Codecs from plain data, as it stands in a file. Cold: what serves requests uses gateway.legacy.formats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.config.options import build_options
from gateway.config.plugin_use import PluginUse
from gateway.config.problems import closest
from gateway.errors import ConfigError
from gateway.legacy.codec import Codec
from gateway.legacy.formats import ONE_MIB, codec_of
from gateway.legacy.options import FormatOptions, FormOptions, XmlOptions

# Formats that need no options.
_PLAIN = {"form": FormatOptions(form=FormOptions()), "xml": FormatOptions(xml=XmlOptions())}


def make_codec(spec: str | Mapping[str, Any], max_body: int = ONE_MIB) -> Codec:
    """The codec of `xml` or `form`, or of one format with its options: `{soap: {operation: GetPrice}}`.

    It reads and writes bodies of at most `max_body` bytes. ConfigError that tells everything that is wrong.
    """
    if isinstance(spec, str):
        if spec not in _PLAIN:
            hint = "write soap: {operation: NAME}" if spec == "soap" else closest(spec, _PLAIN) or "known: xml, form"
            raise ConfigError(f"{spec!r} is no format; {hint}")
        return codec_of(_PLAIN[spec], max_body)
    options, problems = build_options(FormatOptions, PluginUse("format", dict(spec)))
    if problems:
        said = [f"{problem.message}; {problem.hint}" if problem.hint else problem.message for problem in problems]
        raise ConfigError(" | ".join(said))
    try:
        return codec_of(options, max_body)
    except ValueError as error:
        raise ConfigError(f"format: {error}") from error

"""Metrics as text: Prometheus 0.0.4 or OpenMetrics 1.0, as the scraper asks. Cold; meant for a thread.

prometheus_client settles what is asked for. Its encoders take 16 us a sample, which at 1,000 routes is 0.6 s a scrape;
here the labels of a child are written once for all its buckets. The text is the same, byte for byte.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from math import inf
from typing import cast

from prometheus_client.exposition import choose_encoder
from prometheus_client.utils import floatToGoString

from gateway.telemetry.merging import Data, FamilyData, merge_family

# A thread keeps the interpreter for 5 ms at a time while the loop waits for it. So it pauses by itself, after about
# half a millisecond, for long enough that the loop gets in.
PAUSE_EVERY = 20
PAUSE = 50e-6
ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
GO_NUMBER: Callable[[float], str] = floatToGoString
HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})


def expose(parts: Sequence[Data], accept: str = "") -> tuple[bytes, str]:
    """The metrics of all workers as text, and its content type.

    OpenMetrics where `accept`, the scraper's Accept header, names `application/openmetrics-text`; else Prometheus text.
    """
    _, content_type = choose_encoder(accept)
    open_metrics = content_type.startswith("application/openmetrics-text")
    texts: list[bytes] = []
    for name in dict.fromkeys(name for part in parts for name in part):
        family = merge_family(list(_unpacked(parts, name)))
        lines = [*_head(name, family, open_metrics)]
        bounds = [f'"{GO_NUMBER(bound)}"' for bound in (*family["buckets"], inf)]
        for number, (values, value) in enumerate(family["children"].items()):
            if not number % PAUSE_EVERY:
                time.sleep(PAUSE)
            pairs = _pairs(family["labels"], values)
            if family["kind"] == "histogram":
                lines += _histogram(name, pairs, bounds, cast(tuple[float, ...], value))
            else:
                lines.append(_line(name, pairs, value[1] if isinstance(value, tuple) else value))
        texts.append("".join(lines).encode())
    if open_metrics:
        texts.append(b"# EOF\n")
    return b"".join(texts), content_type


def _unpacked(parts: Sequence[Data], name: str) -> Iterator[FamilyData]:
    for part in parts:
        if name in part:
            time.sleep(PAUSE)
            yield part[name]


def _head(name: str, family: FamilyData, open_metrics: bool) -> tuple[str, str]:
    """OpenMetrics names a counter without its `_total`."""
    if open_metrics and family["kind"] == "counter":
        name = name.removesuffix("_total")
    text = family["text"].translate(ESCAPES if open_metrics else HELP_ESCAPES)
    return f"# HELP {name} {text}\n", f"# TYPE {name} {family['kind']}\n"


def _pairs(names: tuple[str, ...], values: tuple[str, ...]) -> list[tuple[str, str]]:
    """Labels by name, each as it is written. The last ones may be left out."""
    return sorted([(name, f'{name}="{value.translate(ESCAPES)}"') for name, value in zip(names, values, strict=False)])


def _line(name: str, pairs: list[tuple[str, str]], value: float) -> str:
    labels = f"{{{','.join([written for _, written in pairs])}}}" if pairs else ""
    return f"{name}{labels} {_number(value)}\n"


def _number(value: float) -> str:
    return repr(float(value)) if 0 <= value < 1e6 else GO_NUMBER(value)


def _histogram(
    name: str, pairs: list[tuple[str, str]], bounds: Sequence[str], value: tuple[float, ...]
) -> Iterator[str]:
    *counts, total = value
    before = "".join([f"{written}," for label, written in pairs if label < "le"])
    after = "".join([f",{written}" for label, written in pairs if label > "le"])
    start = f"{name}_bucket{{{before}le="
    for bound, count in zip(bounds, accumulate(counts), strict=True):
        yield f"{start}{bound}{after}}} {_number(count)}\n"
    yield _line(f"{name}_count", pairs, sum(counts))
    yield _line(f"{name}_sum", pairs, total)

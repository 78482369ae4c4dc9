"""The chart of the README: CPU per proxied request, drawn as SVG by hand, readable on light and dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from loadtest.bench.results import Results
from loadtest.bench.stats import Spread

WIDTH = 760
LEFT = 150  # where the bars begin
RIGHT = 90  # room for the figures behind them
BAR = 15
GAP = 3
GROUP = 2 * BAR + GAP + 14
TOP = 74
NAMES = {"gateway": "aiogate", "nginx": "nginx", "haproxy": "HAProxy", "envoy": "Envoy", "naive": "aiohttp, naive"}

STYLE = """
  text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
  text { font-size: 13px; fill: #24292f; }
  .title { font-size: 16px; font-weight: 600; }
  .small { font-size: 11px; fill: #57606a; }
  .ours { font-weight: 700; }
  .full { fill: #8c959f; } .bare { fill: #d0d7de; }
  .ours-full { fill: #0969da; } .ours-bare { fill: #80b9f4; }
  .spread { stroke: #24292f; stroke-width: 1; }
  .axis { stroke: #d0d7de; stroke-width: 1; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .small { fill: #9198a1; }
    .full { fill: #6e7681; } .bare { fill: #3d444d; }
    .ours-full { fill: #4493f8; } .ours-bare { fill: #1f4a80; }
    .spread { stroke: #e6edf3; } .axis { stroke: #3d444d; }
  }
"""


@dataclass(frozen=True)
class Entry:
    """A peer with what it took; None for a mode that was not measured."""

    peer: str
    full: Spread | None
    bare: Spread | None

    @property
    def order(self) -> float:
        best = self.full or self.bare
        return best.median if best else 0.0


def entries(results: Results) -> list[Entry]:
    """The peers of the small scenario, cheapest first."""
    found = []
    for peer in NAMES:
        full, bare = (results.cpu("small", f"{peer} {mode}") for mode in ("full", "bare"))
        if full or bare:
            found.append(Entry(peer, Spread.of(full) if full else None, Spread.of(bare) if bare else None))
    return sorted(found, key=lambda entry: entry.order)


def draw(found: Sequence[Entry], caption: str) -> str:
    """The chart as SVG text."""
    height = TOP + len(found) * GROUP + 34
    largest = max((value.high for entry in found for value in (entry.full, entry.bare) if value), default=1.0)
    scale = (WIDTH - LEFT - RIGHT) / largest
    title = "CPU time per proxied request"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        f' role="img" aria-label="{escape(_described(found))}">',
        f"<style>{STYLE}</style>",
        f'<text class="title" x="16" y="28">{title}</text>',
        '<text class="small" x="16" y="48">microseconds, user and system, one core; shorter is better</text>',
        *_legend(),
        f'<line class="axis" x1="{LEFT}" y1="{TOP - 6}" x2="{LEFT}" y2="{height - 32}"/>',
    ]
    for index, entry in enumerate(found):
        parts += _group(entry, TOP + index * GROUP, scale)
    parts += [f'<text class="small" x="16" y="{height - 12}">{escape(caption)}</text>', "</svg>"]
    return "\n".join(parts) + "\n"


def _legend() -> list[str]:
    x = WIDTH - 330
    return [
        f'<rect class="full" x="{x}" y="19" width="11" height="11"/>',
        f'<text class="small" x="{x + 16}" y="28">full: access log, ids, metrics</text>',
        f'<rect class="bare" x="{x + 240}" y="19" width="11" height="11"/>',
        f'<text class="small" x="{x + 256}" y="28">bare</text>',
    ]


def _group(entry: Entry, top: int, scale: float) -> list[str]:
    ours = "ours-" if entry.peer == "gateway" else ""
    name_class = ' class="ours"' if ours else ""
    name = escape(NAMES[entry.peer])
    parts = [f'<text{name_class} x="{LEFT - 12}" y="{top + BAR + 6}" text-anchor="end">{name}</text>']
    for row, (mode, value) in enumerate((("full", entry.full), ("bare", entry.bare))):
        if value is None:
            continue
        y = top + row * (BAR + GAP)
        low, middle, high = (LEFT + scale * x for x in (value.low, value.median, value.high))
        parts += [
            f'<rect class="{ours}{mode}" x="{LEFT}" y="{y}" width="{middle - LEFT:.1f}" height="{BAR}" rx="2"/>',
            f'<line class="spread" x1="{low:.1f}" y1="{y + BAR / 2}" x2="{high:.1f}" y2="{y + BAR / 2}"/>',
            f'<text class="small" x="{max(high, middle) + 8:.1f}" y="{y + BAR - 4}">{value.median:.1f}</text>',
        ]
    return parts


def _described(found: Sequence[Entry]) -> str:
    """The chart in words, for those who do not see it."""
    words = [f"{NAMES[entry.peer]} {entry.order:.1f}" for entry in found]
    return "CPU microseconds per proxied request: " + ", ".join(words)

"""The page at `/`: what the admin listener has."""

from __future__ import annotations

import html
from collections.abc import Iterable

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{name}: gateway admin</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;margin:4rem auto;max-width:46rem;padding:0 1rem}}
td{{padding:.15rem 1.5rem .15rem 0;vertical-align:top}}code{{font-size:.95em}}small{{color:#777}}</style></head>
<body><h1>{name}</h1><p>{summary}</p>
<table>{rows}</table>
<p><small>aiogate {version}</small></p></body></html>
"""

# Method, path, what it is.
ENTRIES = (
    ("GET", "/healthz", "the process is alive"),
    ("GET", "/readyz", "requests are served; 503 while starting or draining"),
    ("GET", "/metrics", "Prometheus text, or OpenMetrics"),
    ("GET", "/api/routes", "what each route matches, does, and has served"),
    ("GET", "/api/upstreams", "endpoints, their health and their connections"),
    ("GET", "/api/breakers", "breakers, their state and what they counted"),
    ("GET", "/api/plugins", "plugins, where they come from, their options"),
    ("GET", "/api/workers", "worker processes and what they use"),
    ("GET", "/api/events", "how the gateway is, in a few numbers, every second"),
    ("GET", "/api/config", "the configuration in service, and problems of the last reload"),
    ("POST", "/api/explain", "which route takes a request, and why: {method, url, headers, frontend}"),
    ("POST", "/api/reload", "read the configuration again; If-Match: VERSION"),
    ("GET", "/api/versions", "the configurations that can be brought back"),
    ("POST", "/api/restart", "replace all workers, by the program that is installed now"),
    ("POST", "/api/rollback", "{version}, by default the one before; If-Match: VERSION"),
    ("POST", "/api/upstreams/{name}/endpoints/{host:port}", "{state: drain | enabled}"),
    ("POST", "/api/breakers/{name}", "{state: forced_open | forced_closed | auto}"),
    ("GET", "/hystrix.stream", "breakers and pools, for the Hystrix dashboard"),
)


def index_page(name: str, version: str, summary: str, entries: Iterable[tuple[str, str, str]] = ENTRIES) -> str:
    """The page; everything in it is escaped."""
    rows = "".join(_row(method, html.escape(path), html.escape(what)) for method, path, what in entries)
    return PAGE.format(name=html.escape(name), version=html.escape(version), summary=html.escape(summary), rows=rows)


def _row(method: str, path: str, what: str) -> str:
    link = f'<a href="{path}"><code>{path}</code></a>' if method == "GET" else f"<code>{path}</code>"
    return f"<tr><td><code>{method}</code></td><td>{link}</td><td>{what}</td></tr>"

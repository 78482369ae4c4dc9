"""Files of frontends, beside a test's routes.yaml."""

from __future__ import annotations

from pathlib import Path

INCLUDE = "include: ['bff/*.yaml']\n"
PAGE = "routes: [{name: page, match: {path: '/page/{id}'}, respond: {text: %s}}]\n"


def write_frontend(folder: Path, name: str, text: str = "", page: str | None = None) -> Path:
    """folder/bff/NAME.yaml with `text`, and with a route `page` that answers with a text: the name, unless another is
    given. With `page=""` there is no such route."""
    path = folder / "bff" / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    routes = PAGE % (page or name) if page != "" else ""
    path.write_text(f"frontend: {name}\n{text}{routes}")
    return path

"""How Sphinx makes the site; see `make docs`. The pages are Markdown (MyST), some tables come from reference.py."""

from __future__ import annotations

import re
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "gateway" / "__init__.py"

project = "aiogate"
author = "the aiogate authors"
release = version = re.findall(r'__version__ = "(.+)"', PACKAGE.read_text())[0]
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["generated"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"aiogate {release}"
html_copy_source = False

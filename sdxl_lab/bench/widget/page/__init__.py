"""The page's part of the bench: modules and style sheets, joined to one module when a widget is made."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

from sdxl_lab.viewing.scripts import SHARED, joined

SHARED_MODULES = ("elements.js", "looking.js")
MODULES = (
    "frontend.js",
    "hub.js",
    "strokes.js",
    "painting.js",
    "place.js",
    "hands.js",
    "uploading.js",
    "tools.js",
    "canvas.js",
    "asking.js",
    "typed.js",
    "naming.js",
    "controls.js",
    "knobs.js",
    "making.js",
    "border.js",
    "comparing.js",
    "windows.js",
    "sweeping.js",
    "deeds.js",
    "thumbnails.js",
    "history.js",
    "bench.js",
)
"""In the order in which they are run: each imports from those before it."""

SHARED_STYLES = ("looking.css",)
STYLES = ("bench.css", "canvas.css", "knobs.css", "comparing.css", "history.css")


@cache
def script() -> str:
    """One JavaScript module for anywidget, which brings its own style and asks for nothing."""
    own = files("sdxl_lab.bench.widget.page")
    modules = [*(SHARED / name for name in SHARED_MODULES), *(own / name for name in MODULES)]
    styles = [*(SHARED / name for name in SHARED_STYLES), *(own / name for name in STYLES)]
    style = "\n".join(sheet.read_text("utf-8") for sheet in styles)
    return f"const STYLE = {json.dumps(style)};\n{joined(modules)}\nexport default {{ initialize, render }};\n"

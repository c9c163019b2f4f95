"""Plain values → the page: one HTML text that brings its own style and script, and forbids everything else."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from sdxl_lab.viewing.scripts import SHARED, joined

_HERE = files("sdxl_lab.viewing.report")
_SHARED = ("elements.js", "looking.js")
_OWN = (
    *("data.js", "marks.js", "looked.js", "axes.js", "grid.js", "gallery.js", "narrowing.js", "summary.js", "recipe.js", "viewer.js"),
    *("controls.js", "link.js"),
)
SCRIPTS = (*map(SHARED.joinpath, _SHARED), *map(_HERE.joinpath, _OWN))
"""In the order in which they run."""
STYLES = (_HERE.joinpath("report.css"), SHARED.joinpath("looking.css"))


def page_of(content: Mapping[str, Any], *, embedded: bool, preferred: str = "") -> str:
    """Write the page.

    Args:
        content: What `content_of` returns, with `files`.
        embedded: Whether the pictures stand in the page; else they are files beside it.
        preferred: HTML of what people preferred.

    Returns:
        HTML. Its content security policy allows the page's own style and script, by digest, and its own pictures.
    """
    style, script = _texts()
    parts = {
        "policy": policy([style], [script], "data:" if embedded else "file: 'self'"),
        "title": html.escape(str(content["title"])),
        "style": style,
        "preferred": preferred,
        "data": embedded_json(content),
        "script": script,
    }
    # In one pass, so that what stands in a title is never taken for a part's name.
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _HERE.joinpath("report.html").read_text("utf-8"))


def policy(styles: Sequence[str], scripts: Sequence[str], pictures: str) -> str:
    """State what the page may do: run these scripts, use these styles, show these pictures; no request, no frame, no form, no other base.

    Args:
        styles: The text of each style element.
        scripts: The text of each script element.
        pictures: Sources of pictures, in the policy's own words.

    Returns:
        A content security policy.
    """
    allowed = {
        "default-src": "'none'",
        "script-src": " ".join(map(_digest, scripts)),
        "style-src": " ".join(map(_digest, styles)),
        "img-src": pictures,
        "base-uri": "'none'",
        "form-action": "'none'",
        "require-trusted-types-for": "'script'",  # no text becomes HTML, not even by mistake
    }
    return "; ".join(f"{name} {value}" for name, value in allowed.items())


def embedded_json(content: Mapping[str, Any]) -> str:
    """Write values as JSON that may stand in a script element: without `<`, nothing in it can end the element or open a comment.

    Args:
        content: Plain values.

    Returns:
        JSON text with the same meaning.
    """
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _texts() -> tuple[str, str]:
    """The page's style and its script."""
    return "\n".join(part.read_text("utf-8") for part in STYLES), f'"use strict";\n{joined(SCRIPTS)}'

"""The page that judges see: its modules and style sheets, joined to one script that asks for nothing."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from sdxl_lab.studies.trials import StudyError
from sdxl_lab.viewing.report.page import embedded_json, policy
from sdxl_lab.viewing.scripts import SHARED, joined

SHARED_MODULES = ("elements.js", "looking.js")
MODULES = ("digests.js", "drawing.js", "answers.js", "judging.js")
"""In the order in which they run."""
PAGE, WIDGET = "page.js", "cell.js"
"""What runs last, on a page of its own and in a notebook."""

_HERE = files("sdxl_lab.studies.page")


def page_of(content: Mapping[str, Any]) -> str:
    """Write the page.

    Args:
        content: What judges are shown, with all pictures.

    Returns:
        HTML. Its content security policy allows its own style and script, by digest, and pictures that stand in it; nothing else, from nowhere.
    """
    style, script = _style(), f'"use strict";\n{_script(PAGE)}'
    parts = {
        "policy": policy([style], [script], "data:"),
        "title": html.escape(str(content["question"])),
        "style": style,
        "data": embedded_json(content),
        "script": script,
    }
    # In one pass, so that what stands in a prompt is never taken for a part's name.
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _HERE.joinpath("study.html").read_text("utf-8"))


def shown_in(page: Path) -> dict[str, Any]:
    """Read what a page shows.

    Args:
        page: As `page_of` wrote it.

    Returns:
        What `page_of` was given.

    Raises:
        StudyError: There is no such page.
    """
    try:
        [data] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page.read_text("utf-8"), re.DOTALL)
        return json.loads(data)
    except (OSError, ValueError) as error:
        raise StudyError(f"{page} is no page of a study ({error}); make the study again") from error


@cache
def widget_script() -> str:
    """One JavaScript module for anywidget, which brings its own style."""
    return f"const STYLE = {json.dumps(_style())};\n{_script(WIDGET)}\nexport default {{ render }};\n"


@cache
def _style() -> str:
    return "\n".join(sheet.read_text("utf-8") for sheet in (_HERE / "study.css", SHARED / "looking.css"))


@cache
def _script(last: str) -> str:
    return joined([*(SHARED / name for name in SHARED_MODULES), *(_HERE / name for name in (*MODULES, last))])

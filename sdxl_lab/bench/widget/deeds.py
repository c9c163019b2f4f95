"""What a page does with pictures that were made: each deed takes the bench and the fields of the message, and gives what is answered."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sdxl_lab.bench.bench import Bench
from sdxl_lab.bench.errors import BenchError
from sdxl_lab.bench.pictures import required
from sdxl_lab.bench.widget.history import draw
from sdxl_lab.bench.widget.knobs import from_page, knobs_of

COLUMNS = 120
"""How wide a table may be in a page."""

Fields = Mapping[str, Any]
Deed = Callable[[Bench, Fields], Fields]


def _star(bench: Bench, fields: Fields) -> Fields:
    bench.star(int(fields["number"]), starred=bool(fields.get("starred", True)))
    return {}


def _note(bench: Bench, fields: Fields) -> Fields:
    bench.note(int(fields["number"]), fields["text"])
    return {}


def _delete(bench: Bench, fields: Fields) -> Fields:
    bench.delete(int(fields["number"]))
    return {}


def _parameters(bench: Bench, fields: Fields) -> Fields:
    number = int(fields["number"])
    says = f"# Parameters of picture {number} of {bench.session.name}: for a notebook that makes runs, such as inpaint_outpaint."
    return {"text": f"{says}\n# They belong in its parameters cell, not into that of a bench.\n{bench.parameters(number)}"}


def _knobs_of(bench: Bench, fields: Fields) -> Fields:
    """What turns the settings of a picture's task, which may be another one than the bench is at."""
    return {"knobs": knobs_of(required(bench.session, int(fields["number"])).resolved.edits[0].task)}


def _sweep(bench: Bench, fields: Fields) -> Fields:
    axes = {path: values if isinstance(values, str) else [from_page(path, value) for value in values] for path, values in fields["axes"].items()}
    return {"path": str(bench.sweep_around(int(fields["number"]), axes).absolute())}


def _thumbnails(bench: Bench, fields: Fields) -> Fields:
    wanted = set(fields["numbers"])
    for kept in bench.session.pictures():
        if kept.number in wanted:
            draw(kept)
    return {}


def _reproduce(bench: Bench, fields: Fields) -> Fields:
    from sdxl_lab.runs.reproduce import reproduce

    return {"text": str(reproduce(required(bench.session, int(fields["number"])).recorded.image))}


def _report(bench: Bench, fields: Fields) -> Fields:
    return {"path": str(bench.report(starred=bool(fields.get("starred"))).absolute())}


def _compare(bench: Bench, fields: Fields) -> Fields:
    from rich.console import Console

    from sdxl_lab.viewing.compare.printed import print_comparison

    table = io.StringIO()
    plain = Console(file=table, width=COLUMNS, color_system=None, force_terminal=False, force_jupyter=False)
    print_comparison(bench.compare(starred=bool(fields.get("starred"))), console=plain)
    return {"text": table.getvalue()}


def content_of(bench: Bench, path: str) -> bytes:
    """Read a file for a page that no server gives it to.

    Args:
        bench: Whose page.
        path: Of the file.

    Raises:
        BenchError: It is none of the session's.
    """
    file, top = Path(path).resolve(), bench.session.path.resolve()
    if not file.is_relative_to(top):
        raise BenchError(f"got {file}; allowed are files of the session, {top}")
    return file.read_bytes()


QUICK: Mapping[str, Deed] = {
    "star": _star,
    "note": _note,
    "delete": _delete,
    "parameters": _parameters,
    "knobs_of": _knobs_of,
    "sweep": _sweep,
}
SLOW: Mapping[str, Deed] = {"thumbnails": _thumbnails}
"""What takes a moment, and what is painted or turned must not wait for."""
LONG: Mapping[str, Deed] = {"reproduce": _reproduce, "report": _report, "compare": _compare}
"""What may take minutes, and nothing else must wait for."""

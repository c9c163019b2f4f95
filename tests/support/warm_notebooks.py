"""Notebooks written in tests, and papermill's warm engine to run them with."""

from __future__ import annotations

from typing import Any

import nbformat
import papermill
from papermill.engines import papermill_engines

from sdxl_lab.kernels.engine import WarmEngine

papermill_engines.register("warm", WarmEngine)


def notebook(*sources: str, **metadata: Any) -> Any:
    """
    A notebook of these code cells, and a text at its end.
    """
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    kernel = {"name": "python3", "language": "python", "display_name": "Python"}
    return nbformat.v4.new_notebook(cells=[*cells, nbformat.v4.new_markdown_cell("The end.")], metadata={"kernelspec": kernel, **metadata})


def execute(*sources: str, of: Any = None, output: Any = None, metadata: dict[str, Any] | None = None, **options: Any) -> Any:
    """
    Run these cells, or a notebook, in this thread's warm kernel, which starts without torch.
    """
    given = {"progress_bar": False, "preload": (), "extra_arguments": ["--IPKernelApp.log_level=50"]} | options
    return papermill.execute_notebook(of or notebook(*sources, **metadata or {}), output, engine_name="warm", **given)


def printed(executed: Any) -> str:
    """
    What the cells of a notebook wrote to stdout.
    """
    return "".join(output.text for cell in executed.cells if cell.cell_type == "code" for output in cell.outputs if output.get("name") == "stdout")

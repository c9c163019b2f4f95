"""What a bench is as a cell's value: alive where somebody is there to work with it, else what it looks like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdxl_lab.bench.widget.still import still
from sdxl_lab.viewing.frontend import is_watched, shows_models

if TYPE_CHECKING:
    from sdxl_lab.bench.bench import Bench


def show(bench: Bench, widget: Any) -> Any:
    """Show a bench in the output of the cell that is run.

    Args:
        bench: The bench.
        widget: What it was shown by before, if anything.

    Returns:
        What it is shown by now; None where nobody can work with it.
    """
    from IPython.core.getipython import get_ipython
    from IPython.display import display

    if not hasattr(get_ipython(), "kernel"):
        print(repr(bench))
        return widget
    if not is_watched():
        display({"text/html": still(bench.session), "text/plain": repr(bench)}, raw=True)
        return widget
    if widget is None:
        from sdxl_lab.bench.widget.widget import BenchWidget  # imports anywidget, which only a page needs

        widget = BenchWidget(bench)
    if shows_models():
        display(widget)
    else:
        widget.show()
    return widget

"""Whether a person runs a cell, or a program that writes a notebook down."""

from __future__ import annotations

import sys


def is_watched() -> bool:
    """Whether a person at a notebook runs this cell, so that it can show something that lives.

    JupyterLab, Notebook and VS Code let a cell ask its reader for input; nbclient, nbconvert, papermill and the engine `warm` have none who
    could answer. Nothing else in a kernel tells them apart.

    Returns:
        False where there is no kernel, as in a script or a terminal.
    """
    ipython = sys.modules.get("IPython")
    kernel = getattr(ipython and ipython.get_ipython(), "kernel", None)
    request = kernel.get_parent("shell") if kernel else {}
    return bool(request.get("content", {}).get("allow_stdin"))


def shows_models() -> bool:
    """Whether the frontend brings a widget to life only where its own view is displayed, as VS Code and Colab say of themselves. Untried there."""
    ipython = sys.modules["IPython"].get_ipython()
    return "google.colab" in sys.modules or "__vsc_ipynb_file__" in ipython.user_ns

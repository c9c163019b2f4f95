"""Whether a person runs a cell."""

from __future__ import annotations

from jupyter_core.utils import run_sync

from sdxl_lab.kernels.ahead import of_thread
from sdxl_lab.viewing.frontend import is_watched
from tests.support.warm_notebooks import execute, printed

ASK = "from sdxl_lab.viewing.frontend import is_watched; print(is_watched())"


def test_only_a_frontend_that_could_answer_a_question_is_watched():
    """A cell that papermill runs is not watched, and neither is a script; the same kernel is, asked as JupyterLab asks it."""
    assert printed(execute(ASK)) == "False\n"
    assert not is_watched()
    heard: list[str] = []
    assert of_thread.warm
    ask = run_sync(of_thread.warm.channels._async_execute_interactive)
    ask(ASK, allow_stdin=True, output_hook=lambda message: heard.append(message["content"].get("text", "")), timeout=60)
    assert "".join(heard) == "True\n"

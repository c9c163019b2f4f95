"""JupyterLab as `make lab` starts it, in a folder of its own, with a browser that looks at it."""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat

from tests.support.browser import Page, chromium
from tests.support.warm_notebooks import notebook

HERE = Path(__file__).parents[2]
PANEL = "window.jupyterapp.shell.currentWidget"
STATUS = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status"


class Lab:
    """A lab in JupyterLab, and the page that shows it.

    Attributes:
        folder: Laid out as the project is: `notebooks/`, `artifacts/`; the server's root.
        page: What a person sees.
    """

    def __init__(self, folder: Path, page: Page, url: str, token: str) -> None:
        self.folder, self.page, self._url, self._token = folder, page, url, token

    @property
    def address(self) -> str:
        """Where the server is."""
        return self._url

    def open(self, name: str | None = None, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Open a notebook of `notebooks/` as if nobody had ever looked at another, and wait for its kernel; left out, what `make lab` opens."""
        place = f"/lab/tree/notebooks/{name}?reset&" if name else "/?"
        self.page.open(f"{self._url}{place}token={self._token}", width, height, dark=dark)
        self.idle(300)

    def open_in_notebook(self, name: str, *, width: int = 1280, height: int = 900) -> None:
        """Open a notebook in Jupyter Notebook, which the same server shows; what concerns JupyterLab's panels is not to be asked there."""
        self.page.open(f"{self._url}/notebooks/notebooks/{name}?token={self._token}", width, height)
        self.page.until("window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'", 120)

    def write(self, name: str, *sources: str) -> None:
        """Write a notebook of these code cells into `notebooks/`."""
        nbformat.write(notebook(*sources), self.folder / "notebooks" / name)

    def idle(self, seconds: float = 120) -> None:
        """Wait until the kernel has nothing to do and no cell is waiting for it."""
        waiting = "[...document.querySelectorAll('.jp-InputPrompt')].some(prompt => prompt.textContent.trim() === '[*]:')"
        self.page.until(f"{STATUS} === 'idle' && !{waiting}", seconds)

    def command(self, name: str, **given: Any) -> None:
        """Begin one of JupyterLab's commands; nobody waits for its end."""
        self.page.evaluate(f"void window.jupyterapp.commands.execute({json.dumps(name)}, {json.dumps(given)})")

    def run_cell(self, number: int | None = None) -> None:
        """Run a code cell by its place from 0, else the one that is active; nobody waits for its end."""
        if number is not None:
            self.page.evaluate(f"{PANEL}.content.activeCellIndex = {number}")
        self.command("notebook:run-cell")

    def run(self, source: str, seconds: float = 120) -> str:
        """Add a code cell at the end and run it; what it wrote or was, as text."""
        self.begin(source)
        self.idle(seconds)
        return self.page.evaluate(f"""{PANEL}.content.activeCell.model.sharedModel.outputs.map(output =>
            [output.text ?? output.data?.["text/plain"] ?? output.evalue].flat().join("")).join("")""")

    def begin(self, source: str) -> None:
        """Add a code cell at the end and let it run."""
        self.page.evaluate(f"""(() => {{
            const cells = {PANEL}.content, shared = cells.model.sharedModel
            shared.insertCell(shared.cells.length, {{cell_type: "code", source: {json.dumps(source)}}})
            cells.activeCellIndex = shared.cells.length - 1 }})()""")
        self.page.until(f"{PANEL}.content.activeCell.isAttached")
        self.run_cell()
        self.page.until(f"""(shared => shared.execution_count || shared.outputs.length || {STATUS} === "busy")
            ({PANEL}.content.activeCell.model.sharedModel)""")

    def run_all(self) -> None:
        """Run all cells; nobody waits for their end."""
        self.command("notebook:run-all-cells")

    def sources(self) -> list[str]:
        """What the cells hold now."""
        return self.page.evaluate(f"{PANEL}.content.model.sharedModel.cells.map(cell => cell.source)")

    def save(self, name: str) -> Any:
        """Save the notebook that is open, and read it as it is then."""
        self.page.evaluate(f"{PANEL}.context.save()")
        return nbformat.read(self.folder / "notebooks" / name, as_version=4)

    def restart(self) -> None:
        """Restart the kernel as a person does who confirms it, without the question."""
        self.page.evaluate(f"{PANEL}.sessionContext.restartKernel()")
        self.idle()

    def kernel_process(self) -> int:
        """The process id of the kernel."""
        kernel = self.page.evaluate(f"{PANEL}.sessionContext.session.kernel.id").encode()
        found = [int(file.parent.name) for file in Path("/proc").glob("[0-9]*/cmdline") if kernel in _content(file)]
        assert len(found) == 1, f"processes with {kernel!r} in their command line: {found}"
        return found[0]

    def kill(self) -> None:
        """End the kernel's process as the system does that has no memory left; JupyterLab starts another by itself."""
        os.kill(self.kernel_process(), signal.SIGKILL)


@contextmanager
def jupyterlab(folder: Path) -> Iterator[Lab]:
    """Start JupyterLab in a folder, with settings and kernels that no other JupyterLab of this user knows, and a browser.

    Args:
        folder: Empty; notebooks are written into its `notebooks/`.
    """
    for name in ("notebooks", "artifacts"):
        (folder / name).mkdir()
    shutil.copy(HERE / "artifacts" / "README.md", folder / "artifacts")
    settings = folder / "JUPYTER_CONFIG_DIR" / "lab" / "user-settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text('{"fetchNews": "false", "checkForUpdates": false}')  # else a question lies over the page's corner
    token = secrets.token_hex(8)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    more = ["--no-browser", f"--ServerApp.port={port}", f"--IdentityProvider.token={token}", "--allow-root"]
    more += [f"--{app}.expose_app_in_browser=True" for app in ("LabApp", "JupyterNotebookApp")]
    private = {name: str(folder / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")}
    environment = os.environ | private | {"PYTHONPATH": str(HERE)}
    command = [sys.executable, "-m", "jupyter", *_command_of_make_lab(), *more]
    said = folder / "said"
    with said.open("w") as log, subprocess.Popen(command, cwd=folder, env=environment, stderr=log) as server:
        try:
            while not (found := re.search(r"http://127\.0\.0\.1:\d+(?=/\S*\?token=)", said.read_text())):
                assert server.poll() is None, said.read_text()
                time.sleep(0.1)
            with chromium(folder / "profile") as page:
                yield Lab(folder, page, found[0], token)
        finally:
            server.terminate()


def _command_of_make_lab() -> list[str]:
    """What `make lab` runs, after its `jupyter`."""
    said = subprocess.run(["make", "--dry-run", "lab"], cwd=HERE, capture_output=True, text=True, check=True).stdout
    [line] = [line for line in said.splitlines() if "jupyter lab" in line]
    return shlex.split(line)[1:]


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:  # the process has ended
        return b""

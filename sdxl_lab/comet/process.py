"""A worker seen from the process that started it: lines of JSON down and up, and an end to it whatever it is doing."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any, Self

from sdxl_lab.comet import worker
from sdxl_lab.comet.errors import CometError


class WorkerProcess:
    """A running worker; as a context manager it is killed, and its folder removed, with the block. It ends by itself when this process does.

    Args:
        module: Name of the module of this package whose `main` it runs.
        *arguments: Of `main`.
        account: As in `worker.environment`.

    Raises:
        CometError: The process cannot be started.
    """

    def __init__(self, module: str, *arguments: str, account: Mapping[str, str]) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix=worker.FOLDER)).resolve()
        self._lines: Queue[str | None] = Queue()
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        try:
            self._process = subprocess.Popen(
                worker.command(module, *arguments),
                env=worker.environment(self._folder, account),
                cwd=self._folder / "home",
                encoding="utf-8",
                start_new_session=True,  # ctrl-C is for this process, which ends the worker when it has what it wants
                **pipes,
            )
        except OSError as error:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise CometError(f"could not start the process that talks to Comet: {error.strerror or error}; free some memory and run again") from error
        self._listener = Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send a line; that a worker is gone shows when its answer is waited for."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()

    def hear(self, timeout_s: float) -> dict[str, Any] | None:
        """Wait for what the worker says next.

        Args:
            timeout_s: Seconds to wait.

        Returns:
            A line of its; None once it has ended.

        Raises:
            TimeoutError: It said nothing.
        """
        try:
            line = self._lines.get(timeout=max(0.0, timeout_s))
        except Empty:
            raise TimeoutError from None
        if line is None:
            self._lines.put(None)
            return None
        return json.loads(line)

    def close(self) -> None:
        """Let the worker finish what it has, and end."""
        assert self._process.stdin is not None
        with suppress(OSError):  # what was still to be sent to a worker that is gone
            self._process.stdin.close()

    def end(self, patience_s: float = 0.0) -> int:
        """End the worker, whatever it is doing, and remove its folder.

        Args:
            patience_s: How long it may take to end by itself.

        Returns:
            Its exit code.
        """
        if patience_s:
            self.close()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(patience_s)
        self._process.kill()
        code = self._process.wait()
        self.close()
        self._listener.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        return code

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with suppress(ValueError):
            for line in self._process.stdout:
                self._lines.put(line)
        self._lines.put(None)

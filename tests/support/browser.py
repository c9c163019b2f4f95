"""Debian's chromium over its own remote protocol: two pipes, no port, no package."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
IN_A_BROWSER = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here; on Debian: sudo apt-get install chromium"),
]
"""The marks of tests that need one."""
FLAGS = [
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--disable-extensions",
    "--remote-debugging-pipe",
]
KEYS = {
    "Enter": (13, "\r"), "Tab": (9, ""), "Escape": (27, ""), "Home": (36, ""), "End": (35, ""), "PageUp": (33, ""), "PageDown": (34, ""),
    "ArrowLeft": (37, ""), "ArrowUp": (38, ""), "ArrowRight": (39, ""), "ArrowDown": (40, ""), "+": (187, "+"), "-": (189, "-"), "0": (48, "0"),
    "Delete": (46, ""), "Backspace": (8, ""), " ": (32, " "), "[": (219, "["), "]": (221, "]"),
}  # fmt: skip
ANSWER_S = 60.0
DEEP = """
const everywhere = root => [root, ...[...root.querySelectorAll("*")].flatMap(element => element.shadowRoot ? everywhere(element.shadowRoot) : [])]
globalThis.deepAll = selector => everywhere(document).flatMap(root => [...root.querySelectorAll(selector)])
globalThis.deep = selector => document.querySelector(selector) ?? deepAll(selector)[0] ?? null
"""
"""Every page has `deep(selector)` and `deepAll(selector)`: as `document.querySelector` and its like, also inside open shadow roots."""


class Page:
    """One page of a browser; what it asked for and complained about is kept.

    Attributes:
        requests: URLs that were asked for, those of data URIs included.
        complaints: Errors and warnings of the console, exceptions, violations of a policy.
        heard: Called with an event's name and values as soon as it is read, so it must not talk to the page.
        meanwhile: Called again and again while a condition is waited for; it may talk to the page.
    """

    def __init__(self, process: subprocess.Popen[bytes], to_browser: int, from_browser: int) -> None:
        self._process, self._to, self._from = process, to_browser, from_browser
        self._buffer, self._number, self._session = b"", 0, ""
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.heard: Callable[[str, dict[str, Any]], object] = lambda event, values: None
        self.meanwhile: Callable[[], object] = lambda: None

    def attach(self) -> Self:
        """Open a page to talk to."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call("Page.addScriptToEvaluateOnNewDocument", source=f"{{{DEEP}}}")
        return self

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and wait for its answer."""
        self._number += 1
        number = self._number
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def open(self, url: str, width: int = 1280, height: int = 900, *, dark: bool = False) -> None:
        """Open a page and wait until it is loaded; what was noted of others is forgotten."""
        self.call("Page.navigate", url="about:blank")
        self.requests.clear()
        self.complaints.clear()
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=features)
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def evaluate(self, script: str) -> Any:
        """Evaluate JavaScript; promises are awaited."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, script: str, seconds: float = 30.0) -> None:
        """Wait for a condition."""
        deadline = time.monotonic() + seconds
        while not (self.meanwhile(), self.evaluate(f"Promise.resolve(({script})).then(Boolean)"))[1]:
            assert time.monotonic() < deadline, f"never true: {script}"
            time.sleep(0.02)

    def press(self, *keys: str, shift: bool = False, ctrl: bool = False, alt: bool = False) -> None:
        """Press keys, one after the other, each with the same others held."""
        for key in keys:
            code, text = KEYS.get(key, (ord(key.upper()[0]), key))
            event = {"key": key, "windowsVirtualKeyCode": code, "modifiers": alt + 2 * ctrl + 8 * shift}
            self.call("Input.dispatchKeyEvent", type="keyDown", text="" if ctrl or alt else text, **event)
            self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    def type(self, text: str) -> None:
        """Insert text where the focus is, at once, as an input method does."""
        self.call("Input.insertText", text=text)

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """Send one event of the mouse."""
        pressed = {"button": "left", "buttons": 1, "clickCount": 1} if kind != "mouseWheel" else {}
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **(pressed | more))

    def click(self, x: float, y: float) -> None:
        """Click with the left button."""
        self.mouse("mousePressed", x, y)
        self.mouse("mouseReleased", x, y)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag with the left button, in a few steps."""
        self.mouse("mousePressed", *start)
        for step in range(1, 6):
            self.mouse("mouseMoved", *(a + (b - a) * step / 5 for a, b in zip(start, end, strict=True)))
        self.mouse("mouseReleased", *end)

    def touch(self, *places: tuple[float, float]) -> None:
        """Draw with a finger along these places."""
        for number, (x, y) in enumerate(places):
            self.call("Input.dispatchTouchEvent", type="touchMove" if number else "touchStart", touchPoints=[{"x": x, "y": y}])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def pinch(self, start: Sequence[tuple[float, float]], end: Sequence[tuple[float, float]]) -> None:
        """Move several fingers at once, each from where it starts to where it ends, in a few steps."""
        for step in range(6):
            points = [
                {"x": a + (c - a) * step / 5, "y": b + (d - b) * step / 5, "id": finger}
                for finger, ((a, b), (c, d)) in enumerate(zip(start, end, strict=True))
            ]
            self.call("Input.dispatchTouchEvent", type="touchMove" if step else "touchStart", touchPoints=points)
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def pen(self, *places: tuple[float, float], force: float = 0.5) -> None:
        """Draw with a pen along these places, pressed as hard from 0 to 1."""
        self.mouse("mousePressed", *places[0], pointerType="pen", force=force)
        for place in places[1:]:
            self.mouse("mouseMoved", *place, pointerType="pen", force=force)
        self.mouse("mouseReleased", *places[-1], pointerType="pen")

    def box(self, selector: str) -> tuple[float, float, float, float]:
        """Left, top, width and height of an element, also in a shadow root, after scrolling it into view."""
        script = f"""(() => {{ const element = deep({json.dumps(selector)}); element.scrollIntoView({{block: 'center'}});
            const box = element.getBoundingClientRect(); return [box.left, box.top, box.width, box.height] }})()"""
        left, top, width, height = self.evaluate(script)
        return left, top, width, height

    def click_on(self, selector: str) -> None:
        """Click into the middle of an element, also in a shadow root."""
        left, top, width, height = self.box(selector)
        self.click(left + width / 2, top + height / 2)

    def screenshot(self, path: Path) -> None:
        """Keep what is in view as a PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def _write(self, content: bytes) -> None:
        while content:
            content = content[os.write(self._to, content) :]

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._from], [], [], ANSWER_S)
            chunk = os.read(self._from, 2**20) if ready else b""
            assert chunk, f"chromium is silent; it ended with {self._process.poll()}"
            self._buffer += chunk
        message, _, self._buffer = self._buffer.partition(b"\0")
        answer = json.loads(message)
        self._note(answer.get("method"), answer.get("params", {}))
        return answer

    def _note(self, event: str | None, values: dict[str, Any]) -> None:
        if event:
            self.heard(event, values)
        if event == "Network.requestWillBeSent":
            self.requests.append(values["request"]["url"])
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(values["exceptionDetails"]))
        elif event == "Runtime.consoleAPICalled" and values["type"] in ("error", "warning", "assert"):
            self.complaints.append(json.dumps(values["args"]))
        elif event == "Log.entryAdded" and values["entry"]["level"] in ("error", "warning"):
            self.complaints.append(values["entry"]["text"])


@contextmanager
def chromium(profile: Path) -> Iterator[Page]:
    """Start a browser with a profile of its own; it ends with the block."""
    to_browser_end, to_browser = os.pipe()
    from_browser, from_browser_end = os.pipe()
    # The protocol's pipes are the descriptors 3 and 4, which a shell can give it.
    unprivileged = [] if os.geteuid() else ["--no-sandbox"]
    command = [str(CHROMIUM), *FLAGS, *unprivileged, f"--user-data-dir={profile}"]
    shell = ["bash", "-c", f'exec "$@" 3<&{to_browser_end} 4>&{from_browser_end}', "bash", *command]
    environment = os.environ | {"HOME": str(profile)}
    process = subprocess.Popen(shell, pass_fds=(to_browser_end, from_browser_end), env=environment, stderr=subprocess.DEVNULL)
    for end in (to_browser_end, from_browser_end):
        os.close(end)
    page = Page(process, to_browser, from_browser)
    try:
        yield page.attach()
    finally:
        os.close(to_browser)  # chromium ends when nobody can talk to it any more
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(from_browser)


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    """One browser for all tests of a file."""
    # Not below pytest's own folder: chromium may still write to its profile when it is removed.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, chromium(Path(profile)) as page:
        yield page

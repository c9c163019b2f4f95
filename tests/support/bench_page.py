"""A bench's page in chromium with Python at its other end, without JupyterLab: what a model of anywidget does, over the browser's own protocol."""

from __future__ import annotations

import base64
import json
import queue
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.browser import Page

Receive = Callable[[dict[str, Any], list[bytes]], object]

MODEL = """
const bytesOf = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
const textOf = part => {
  const bytes = ArrayBuffer.isView(part) ? new Uint8Array(part.buffer, part.byteOffset, part.byteLength) : new Uint8Array(part);
  let text = "";
  for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return btoa(text);
};
export class Model {
  #values; #listeners = new Set();
  constructor(values) { this.#values = values; }
  get(name) { return this.#values[name]; }
  on(event, listener) { this.#listeners.add([event, listener]); }
  off(event, listener) {
    for (const one of this.#listeners) if ((!event || one[0] === event) && (!listener || one[1] === listener)) this.#listeners.delete(one);
  }
  send(content, callbacks, buffers = []) { toPython(JSON.stringify([content, buffers.map(textOf)])); }
  take(content, buffers) {
    const parts = buffers.map(text => new DataView(bytesOf(text).buffer));
    for (const [event, listener] of [...this.#listeners]) if (event === "msg:custom") listener(content, parts);
  }
}
"""


class BenchPage:
    """A page with `<sdxl-lab-bench>` elements, and the kernel's end of their channel in this process.

    Whatever the page sends is received in the test's own thread, whenever that looks at the page: in `until` and `pump`. Whatever Python
    sends, from any thread, reaches the page then too.

    Attributes:
        page: What a person sees.
        is_deaf: Whether what the page sends is lost, as after the kernel's end.
    """

    def __init__(self, page: Page, receive: Receive | None = None) -> None:
        self.page, self.is_deaf = page, False
        self._receive = receive
        self._to_page: queue.SimpleQueue[tuple[Any, Sequence[bytes]]] = queue.SimpleQueue()
        self._to_python: list[str] = []
        page.heard, page.meanwhile = self._heard, self.pump

    def connect(self, receive: Receive) -> None:
        """Say who receives what the page sends: its content, which is JSON, and its buffers."""
        self._receive = receive

    def send(self, content: Mapping[str, Any], buffers: Sequence[bytes] = ()) -> None:
        """Send something to the page; from any thread."""
        self._to_page.put((content, [bytes(part) for part in buffers]))

    def pump(self) -> None:
        """Pass on what is waiting, in both directions, until nothing is."""
        while self._to_python or not self._to_page.empty():
            while self._to_python:
                content, buffers = json.loads(self._to_python.pop(0))
                if self._receive and not self.is_deaf:
                    self._receive(content, [base64.b64decode(part) for part in buffers])
            messages = []
            while not self._to_page.empty():
                content, buffers = self._to_page.get()
                messages.append([content, [base64.b64encode(part).decode() for part in buffers]])
            if messages:
                self.page.evaluate(f"for (const [content, buffers] of {json.dumps(messages)}) model.take(content, buffers)")

    def until(self, script: str, seconds: float = 30.0) -> None:
        """Wait for a condition, and receive and send meanwhile."""
        self.page.until(script, seconds)

    def add_host(self, bench: str, inside: str = "") -> None:
        """Add what a cell's output holds to the page."""
        self.page.evaluate(f"document.body.insertAdjacentHTML('beforeend', {json.dumps(host(bench, inside))})")

    def _heard(self, event: str, values: dict[str, Any]) -> None:
        if event == "Runtime.bindingCalled" and values["name"] == "toPython":
            self._to_python.append(values["payload"])


def host(bench: str, inside: str = "") -> str:
    """The element that a cell's output holds, with the HTML inside."""
    return f'<sdxl-lab-bench bench="{bench}" data-lm-suppress-shortcuts="true">{inside}</sdxl-lab-bench>'


@contextmanager
def bench_page(
    page: Page,
    script: str,
    receive: Receive | None = None,
    *,
    styles: str = "",
    bench: str = "b",
    values: Mapping[str, Any] | None = None,
    inside: str = "",
    width: int = 1280,
    height: int = 900,
    dark: bool = False,
) -> Iterator[BenchPage]:
    """Open a page with one element and let the widget's script mount its view there; the page's variable `model` is its model.

    Args:
        page: Of a browser that is running; what it shows is replaced.
        script: The widget's module, which exports `{ initialize }`, as it is given to anywidget.
        receive: As for `BenchPage.connect`.
        styles: CSS of the page around it.
        bench: The element's attribute of that name.
        values: What `model.get(name)` answers.
        inside: The element's HTML until the view is there.
        width: Of the window in pixels.
        height: Likewise.
        dark: Whether the system is dark.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "page.html"
        scheme = ":root { color-scheme: light dark } body { margin: 0 }"
        file.write_text(f"<!doctype html><meta charset=utf-8><title>bench</title><style>{scheme}{styles}</style><body>{host(bench, inside)}")
        with _binding(page):
            page.open(file.as_uri(), width, height, dark=dark)
            shown = BenchPage(page, receive)
            try:
                page.evaluate(f"""(async () => {{
                    const module = text => import(URL.createObjectURL(new Blob([text], {{type: "text/javascript"}})));
                    const {{ Model }} = await module({json.dumps(MODEL)});
                    globalThis.model = new Model({json.dumps(dict(values or {}))});
                    const widget = await module({json.dumps(script)});
                    // Not awaited: it may wait for what Python answers.
                    Promise.resolve(widget.default.initialize({{ model, signal: new AbortController().signal }})).catch(console.error);
                }})()""")
                yield shown
            finally:
                page.heard, page.meanwhile = lambda event, values: None, lambda: None


@contextmanager
def _binding(page: Page) -> Iterator[None]:
    """The function of the page whose calls the browser tells us."""
    page.call("Runtime.addBinding", name="toPython")
    try:
        yield
    finally:
        page.call("Runtime.removeBinding", name="toPython")

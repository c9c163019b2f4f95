"""A page that holds nothing but the form of knobs, at the hub of a kernel that only repeats what it is asked."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from sdxl_lab.bench.widget.knobs import knobs_of
from sdxl_lab.spec.identities import CheckpointIdentity
from sdxl_lab.viewing.scripts import SHARED, joined

OWN = files("sdxl_lab.bench.widget") / "page"
POCKET = CheckpointIdentity(name="pocket", digest="0" * 64, family="pocket")

HUB = """
const calls = [];
const listeners = {};
const state = __STATE__;
const hub = {
  state, local: { live: false }, echoes: true, calls,
  on(name, listener) { (listeners[name] ??= []).push(listener); },
  emit(name, value) {
    Object.assign(state, name === "asked" ? value : { [name]: value });
    for (const listener of listeners[name] ?? []) listener(value);
  },
  async do(action, fields) {
    calls.push([action, structuredClone(fields), performance.now()]);
    await new Promise(resolve => setTimeout(resolve, 10));
    if (!hub.echoes) return {};
    const asked = Object.fromEntries(Object.entries({ ...state.asked, ...fields.changes }).filter(([, value]) => value !== null));
    hub.emit("asked", { asked, keepSeed: fields.keepSeed ?? state.keepSeed });
    return {};
  },
  async make(options) { calls.push(["make", options ?? null, performance.now()]); },
  say(kind, text) { calls.push(["say", text, performance.now()]); },
};
globalThis.hub = hub;
const root = document.getElementById("host").attachShadow({ mode: "open" });
const style = document.createElement("style");
style.textContent = __STYLE__;
const bench = document.createElement("div");
bench.className = "bench";
bench.append(knobsPart(hub).node);
root.append(style, bench);
globalThis.form = bench.firstElementChild;
globalThis.knob = path => form.querySelector(`[data-path="${path}"]`);
globalThis.input = (path, index = 0) => knob(path).querySelectorAll("input, select, textarea")[index];
globalThis.readValueForTests = readValue;
globalThis.asks = () => calls.filter(([action]) => action === "ask").map(([, fields]) => fields);
"""


def write_page(path: Path, task: str = "inpaint", *, width: int = 320, **state: Any) -> Path:
    """Write the page; its variables are `hub`, whose `calls` are what was asked, `form`, `knob(path)`, `input(path, index)` and `asks()`.

    Args:
        path: Of the file.
        task: Whose knobs they are.
        width: Of the column in pixels.
        **state: Of the hub, over that of a bench of which nothing is asked yet.
    """
    knobs = {"task": task, "checkpoint": "pocket", "knobs": knobs_of(task, POCKET)}
    told = {
        "knobs": knobs,
        "asked": {"checkpoint": "pocket"},
        "keepSeed": True,
        "checked": {"task": task, "values": {}, "problems": [], "cautions": []},
    }
    script = joined([SHARED / "elements.js", *(OWN / f"{name}.js" for name in ("typed", "asking", "controls", "knobs"))])
    style = "\n".join((OWN / name).read_text("utf-8") for name in ("bench.css", "knobs.css"))
    own = HUB.replace("__STATE__", json.dumps(told | state)).replace("__STYLE__", json.dumps(style))
    head = "<!doctype html><meta charset=utf-8><title>knobs</title><style>:root { color-scheme: light dark }</style>"
    path.write_text(f'{head}<div id=host style="width:{width}px"></div><script type=module>{script}\n{own}</script>')
    return path

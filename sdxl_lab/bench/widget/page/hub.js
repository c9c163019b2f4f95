// What the parts of a view share: what the kernel told last, how it is asked for something, and what this view looks at.

import { Frontend } from "./frontend.js";
import { Looking } from "./looking.js";

const PULSE_MS = 1000;
const SILENT_MS = 3500;  // without an answer for so long, the kernel is said to be gone

/** One view of a bench. */
export class Hub {
  constructor(model, root) {
    this.model = model;
    this.root = root;
    this.host = null;
    this.view = Math.random().toString(36).slice(2);
    this.state = { session: {}, opened: null, asked: {}, keepSeed: true, checked: null, knobs: null, jobs: [], strokes: [], outline: null, pictures: new Map() };
    this.local = { chosen: null, pane: "paint", live: false };
    this.frontend = new Frontend(this);
    this.looking = new Looking(root);
    this.looking.show({ split: 0 });  // the picture is looked at first, and what was before comes from the left
    this.listeners = new Map();
    this.waiting = new Map();
    this.asked = 0;
    this.heard = -Infinity;
    this.isGone = false;
    this.receive = (content, buffers = []) => this.take(content, buffers);
    model.on("msg:custom", this.receive);
  }

  /** Begin, or go on after the view was out of the page: all is told again. */
  begin() {
    clearInterval(this.pulse);
    this.pulse = setInterval(() => this.beat(), PULSE_MS);
    this.heard = performance.now();
    return this.do("hello");
  }

  /** Whether the kernel said something within so many milliseconds. */
  hasHeardOf(time) {
    return performance.now() - this.heard < time;
  }

  pause() {
    clearInterval(this.pulse);
  }

  end() {
    this.pause();
    this.model.off("msg:custom", this.receive);
    this.frontend.end();
    this.emit("end");
  }

  on(name, listener) {
    if (!this.listeners.has(name)) this.listeners.set(name, []);
    this.listeners.get(name).push(listener);
  }

  /** Listen to the next one alone. */
  once(name, listener) {
    const heard = (value, buffers) => {
      this.listeners.set(name, this.listeners.get(name).filter((other) => other !== heard));
      listener(value, buffers);
    };
    this.on(name, heard);
  }

  emit(name, value, buffers = []) {
    for (const listener of this.listeners.get(name) ?? []) listener(value, buffers);
  }

  say(kind, text) {
    this.emit("said", { kind, text });
  }

  /** Ask the kernel for something; what it refuses rejects, and is said in the view unless whoever asks says it. */
  do(action, fields = {}, buffers = [], { says = true } = {}) {
    const ask = ++this.asked;
    return new Promise((resolve, reject) => {
      this.waiting.set(ask, { resolve, reject, says });
      this.post({ ...fields, do: action, ask, view: this.view }, buffers);
    });
  }

  choose(number) {
    this.local.chosen = number;
    this.emit("chosen", number);
  }

  show(pane) {
    this.local.pane = pane;
    this.emit("pane", pane);
  }

  urlOf(path) {
    return this.frontend.urlOf(path);
  }

  /** Of a kernel that was restarted, nobody hears it; JupyterLab may throw then, and silence says enough. */
  post(content, buffers = []) {
    try {
      this.model.send(content, undefined, buffers);
    } catch {
      // nobody is there
    }
  }

  beat() {
    this.post({ do: "ping", view: this.view });
    if (this.isGone || performance.now() - this.heard < SILENT_MS) return;
    this.isGone = true;
    this.emit("gone");
  }

  take(content, buffers) {
    const { event, value, to } = content;
    if (to && to !== this.view) return;
    this.heard = performance.now();
    if (this.isGone) {
      this.isGone = false;
      for (const [ask, { reject }] of this.waiting) {
        this.waiting.delete(ask);
        reject(new Error("the kernel did not answer"));
      }
      this.emit("back");
      this.do("hello").catch(() => {});
    }
    if (event === "answer") this.answer(content);
    else if (event !== "pong") this.keep(event, value, buffers);
  }

  answer({ ask, view, value, error }) {
    const waiting = view === this.view && this.waiting.get(ask);
    if (!waiting) return;
    this.waiting.delete(ask);
    if (error === undefined) waiting.resolve(value);
    else {
      if (waiting.says) this.say("error", error);
      waiting.reject(new Error(error));
    }
  }

  keep(event, value, buffers) {
    if (event === "asked") Object.assign(this.state, value);
    else if (event === "pictures") this.keepPictures(value);
    else if (event === "strokes") this.state.strokes = [...this.state.strokes.slice(0, value.keep), ...value.add];
    else if (!["preview", "bytes", "said"].includes(event)) this.state[event] = value;
    this.emit(event, value, buffers);
  }

  keepPictures({ changed, gone }) {
    for (const entry of changed) this.state.pictures.set(entry.number, entry);
    for (const number of gone) this.state.pictures.delete(number);
    if (gone.includes(this.local.chosen)) this.choose(null);
  }
}

// A bench in a page: where its parts stand, and how it comes into a cell's output and out of it.

import { element } from "./elements.js";
import { Hub } from "./hub.js";
import { canvasPart } from "./canvas.js";
import { knobsPart } from "./knobs.js";
import { makingPart } from "./making.js";
import { comparingPart } from "./comparing.js";
import { historyPart } from "./history.js";

const ELEMENT = "sdxl-lab-bench";
const ORPHAN_MS = 10_000;  // JupyterLab takes cells out of the page and puts them back as it scrolls
const HEARD_MS = 2000;  // a view that takes another's place stands at once if the kernel lived just now
const NOTE_MS = 8000;
const MOST_MESSAGES = 5;
const REST_MS = 500;
const PANES = [["paint", "Paint"], ["making", "Making"], ["look", "Look"]];

/** One view: everything between its border. */
class BenchView {
  constructor(model) {
    this.node = element("div", { class: "bench", role: "region", "aria-label": "sdxl_lab bench", tabindex: "-1" });  // a click beside a control stays here
    const hub = this.hub = new Hub(model, this.node);
    const [canvas, making, comparing, knobs, history] = [canvasPart, makingPart, comparingPart, knobsPart, historyPart].map((part) => part(hub));
    const panes = { paint: canvas.node, making: making.pane, look: comparing.node };
    const stage = element("div", { class: "stage" }, tabsOf(hub, panes), making.node, ...Object.values(panes));
    this.node.append(headOf(hub), messagesOf(hub), element("div", { class: "split" }, stage, element("aside", { class: "side" }, knobs.node)), history.node);
    this.node.addEventListener("keydown", (event) => keyOf(hub, event));
    this.node.addEventListener("dragstart", (event) => event.preventDefault());  // a browser drags what is selected, and the hand would paint no more
    this.focused = null;  // kept while JupyterLab draws the output anew and so puts another host in the place of ours
    this.node.addEventListener("focusin", (event) => { this.focused = event.target; });
    this.node.addEventListener("focusout", () => {
      clearTimeout(this.resting);
      this.resting = setTimeout(() => this.rest(), REST_MS);
    });
    hub.on("gone", () => { if (!this.answered) this.host?.shadowRoot.replaceChildren(element("slot")); });
    hub.show("paint");
  }

  /** Once the focus is elsewhere, and not only on its way through a button that is disabled or a window that opens, a saved notebook may show what there is. */
  rest() {
    if (this.node.contains(this.node.getRootNode().activeElement)) return;
    this.focused = null;
    this.hub.do("still").catch(() => {});
  }

  /** Take the place of what a saved notebook shows as soon as the kernel has answered there: a notebook that is opened again may have lost its kernel. */
  enter(host) {
    clearTimeout(this.leaving);
    this.host = this.hub.host = host;
    const shadow = host.shadowRoot ?? host.attachShadow({ mode: "open" });
    this.answered = false;
    if (this.hub.hasHeardOf(HEARD_MS)) this.stand(shadow);
    else shadow.replaceChildren(element("slot"));
    this.hub.once("session", () => {
      if (this.host !== host) return;
      this.answered = true;
      this.stand(shadow);
    });
    this.hub.begin().catch(() => {});
  }

  stand(shadow) {
    if (this.node.parentNode === shadow) return;
    this.host.dataset.lmSuppressShortcuts = "true";  // JupyterLab's keys stay away from ours
    shadow.replaceChildren(element("style", {}, STYLE), this.node);
    for (const dialog of this.node.querySelectorAll("dialog[open]")) {  // out of the page, it has lost its place over all else
      dialog.removeAttribute("open");
      dialog.showModal();
    }
    this.focused?.focus({ preventScroll: true });
  }

  leave(onEnd) {
    this.host = this.hub.host = null;
    this.hub.pause();
    this.leaving = setTimeout(() => {
      this.hub.end();
      onEnd(this);
    }, ORPHAN_MS);
  }
}

function headOf(hub) {
  const name = element("strong");
  const count = element("span", { class: "quiet" });
  const folder = element("button", { type: "button", class: "link", title: "Open the session's folder" }, "folder");
  const gone = element("p", { class: "gone", role: "alert", hidden: true },
    "The kernel does not answer: it is busy without a break, restarting, or gone. Every finished picture is kept. Once it runs again, run the cells that made this bench; ",
    element("code", {}), " goes on where this one was.");
  folder.addEventListener("click", () => hub.frontend.open(hub.state.session.path, { isFolder: true }));
  hub.on("session", (session) => {
    name.textContent = session.name;
    count.textContent = `${session.count} ${session.count === 1 ? "picture" : "pictures"}`;
    gone.querySelector("code").textContent = `Bench.resume("${session.folder}")`;
  });
  hub.on("gone", () => { gone.hidden = false; hub.root.classList.add("is-gone"); });
  hub.on("back", () => { gone.hidden = true; hub.root.classList.remove("is-gone"); });
  return element("header", { class: "head" }, element("div", {}, "Session ", name, " · ", count, " · ", folder), gone);
}

/** The latest errors and warnings, whole, until somebody has read them; notes for a while. */
function messagesOf(hub) {
  const list = element("ul", { class: "messages", "aria-live": "polite" });
  hub.on("said", ({ kind, text }) => {
    const close = element("button", { type: "button", "aria-label": "Close this message", title: "Close" }, "×");
    const item = element("li", { class: kind }, element("pre", {}, text), close);
    close.addEventListener("click", () => item.remove());
    list.append(item);
    if (kind === "note") setTimeout(() => item.remove(), NOTE_MS);
    while (list.children.length > MOST_MESSAGES) list.firstElementChild.remove();
  });
  return list;
}

function tabsOf(hub, panes) {
  const tabs = PANES.map(([pane, label], index) => {
    const tab = element("button", { type: "button", role: "tab", title: `${label} (Alt+${index + 1})` }, label);
    tab.addEventListener("click", () => hub.show(pane));
    return tab;
  });
  hub.on("pane", (shown) => {
    PANES.forEach(([pane], index) => {
      tabs[index].setAttribute("aria-selected", String(pane === shown));
      panes[pane].hidden = pane !== shown;
    });
  });
  return element("div", { class: "tabs", role: "tablist", "aria-label": "What the stage shows" }, ...tabs);
}

/** Keys that work everywhere in the view. */
function keyOf(hub, event) {
  const isCommand = event.ctrlKey || event.metaKey;
  if (isCommand && event.key === "Enter") hub.make();
  else if (event.key === "Escape" && hub.state.jobs.some(({ state }) => ["queued", "making"].includes(state))) hub.do("cancel").catch(() => {});
  else if (isCommand && !event.shiftKey && event.key.toLowerCase() === "s") hub.do("still").catch(() => {}).finally(() => hub.frontend.save());
  else if (event.altKey && PANES[Number(event.code.at(-1)) - 1]) hub.show(PANES[Number(event.code.at(-1)) - 1][0]);
  else return;
  event.preventDefault();
  event.stopPropagation();
}

/** All benches of the page by name, and the hosts that wait for theirs; shared by all versions of this module in the page. */
const benches = globalThis[Symbol.for("sdxl_lab.benches")] ??= { models: new Map(), hosts: new Set(), free: new Map() };

function enter(host) {
  const name = host.getAttribute("bench");
  const mount = benches.models.get(name);
  benches.hosts.add(host);
  if (mount && !host.leave) host.leave = mount(host);
}

function leave(host) {
  benches.hosts.delete(host);
  host.leave?.();
  host.leave = null;
}

if (!customElements.get(ELEMENT)) {
  customElements.define(ELEMENT, class extends HTMLElement {
    connectedCallback() { enter(this); }

    disconnectedCallback() { leave(this); }
  });
}

/** A bench of the kernel has come: its view goes wherever its name stands in the page, now or later. */
export function initialize({ model }) {
  const name = model.get("bench");
  const free = [];
  benches.models.set(name, (host) => {
    const view = free.pop() ?? new BenchView(model);
    view.enter(host);
    return () => {
      free.push(view);
      view.leave(() => { if (free.includes(view)) free.splice(free.indexOf(view), 1); });
    };
  });
  // A notebook that was closed and opened again has another model of the same bench, and the one before hears nothing any more.
  for (const host of [...benches.hosts].filter((one) => one.getAttribute("bench") === name)) {
    leave(host);
    if (host.isConnected) enter(host);
  }
  const mount = benches.models.get(name);
  return () => { if (benches.models.get(name) === mount) benches.models.delete(name); };
}

/** Where a frontend shows the model itself: a host of its own. */
export function render({ model, el }) {
  el.append(element(ELEMENT, { bench: model.get("bench") }));
}

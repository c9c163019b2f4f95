// The form of knobs: made of what the kernel says of each setting, so that a new one appears by itself.

import { element } from "./elements.js";
import { askingOf } from "./asking.js";
import { controlOf } from "./controls.js";
import { isSameValue, knobText } from "./typed.js";

const FIRST = ["prompt", "negative_prompt", "task", "checkpoint", "seed"];

/** The column of knobs: `node` is its form. */
export function knobsPart(hub) {
  const faults = element("div", { class: "knob-faults", role: "alert" });
  const shown = element("div", { class: "knob-group" });
  const folded = element("div");
  const count = element("span", { class: "knob-count" });
  const filter = element("input", { type: "search", class: "knob-filter", placeholder: "find a setting", "aria-label": "Find a setting" });
  const more = element("details", { class: "knob-more" }, element("summary", {}, "All other settings", count), filter, folded);
  const cautions = element("ul", { class: "knob-cautions", "aria-label": "Cautions", "aria-live": "polite" });
  const node = element("form", { class: "knobs", autocomplete: "off", "aria-label": "Settings" }, faults, shown, more, cautions);
  const asking = askingOf(hub, refresh);
  const parts = new Map();
  let isBuilding = false;

  /** Build what is new and keep what is as it was, where somebody may be typing. */
  function build() {
    const knobs = hub.state.knobs?.knobs ?? [];
    const focused = node.getRootNode().activeElement;
    const paths = new Set(knobs.map(({ path }) => path));
    isBuilding = true;
    for (const path of parts.keys()) if (!paths.has(path)) parts.delete(path);
    for (const knob of knobs) {
      const before = parts.get(knob.path);
      if (before && isSameValue({ ...before.knob, default: null }, { ...knob, default: null })) before.knob = knob;
      else parts.set(knob.path, partOf(knob, asking));
    }
    const ordered = knobs.map(({ path }) => parts.get(path));
    const inView = ordered.filter(({ knob }) => knob.shown).sort((one, other) => placeOf(one.knob) - placeOf(other.knob));
    shown.replaceChildren(...inView.map((part) => part.node));
    folded.replaceChildren(...sectionsOf(ordered.filter(({ knob }) => !knob.shown)));
    if (node.contains(focused) && node.getRootNode().activeElement !== focused) focused.focus({ preventScroll: true });
    isBuilding = false;
    find();
    refresh();
  }

  /** Show what is asked, what the gate makes of it, and what it says of it. */
  function refresh() {
    const { problems = [], cautions: said = [] } = hub.state.checked ?? {};
    const byPath = new Map([...parts.keys()].map((path) => [path, []]));
    const homeless = problems.filter(({ path, text }) => !byPath.get(homeOf(path, byPath))?.push(text));
    for (const [path, part] of parts) refreshPart(part, hub, asking, byPath.get(path));
    tell(faults, "p", homeless.map(({ path, text }) => (path ? `${path}: ${text}` : text)));
    tell(cautions, "li", said);
    const others = [...parts.values()].filter(({ knob }) => !knob.shown);
    const [turned, wrong] = ["is-turned", "is-wrong"].map((name) => others.filter((part) => part.node.classList.contains(name)).length);
    count.textContent = [turned && ` · ${turned} turned`, wrong && ` · ${wrong} to correct`].filter(Boolean).join("");
    count.classList.toggle("is-wrong", wrong > 0);
  }

  /** Leave of the folded knobs those in which all that was typed into the filter occurs. */
  function find() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const section of folded.children) {
      for (const part of [...parts.values()].filter((each) => section.contains(each.node))) {
        const text = [part.knob.path, part.knob.label, part.knob.help].join(" ").toLowerCase();
        part.node.hidden = !words.every((word) => text.includes(word));
      }
      section.hidden = ![...section.querySelectorAll(".knob")].some((knob) => !knob.hidden);
    }
  }

  filter.addEventListener("input", find);
  node.addEventListener("submit", (event) => event.preventDefault());
  node.addEventListener("focusout", () => { if (!isBuilding) queueMicrotask(refresh); });
  node.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.shiftKey || event.metaKey) || event.isComposing) return;
    event.preventDefault();
    event.stopPropagation();
    asking.flush();  // what was typed last is asked for before it is made
    hub.make();
  });
  hub.on("knobs", build);
  for (const name of ["asked", "checked"]) hub.on(name, refresh);
  build();
  return { node, flush: asking.flush };
}

/** Say texts in an element each; what is said already is not said again to those who listen. */
function tell(node, tag, texts) {
  const isSaid = node.children.length === texts.length && texts.every((text, index) => node.children[index].textContent === text);
  if (!isSaid) node.replaceChildren(...texts.map((text) => element(tag, {}, text)));
}

/** The order of what is shown: words, then what stands above the sections, then these as the kernel has them. */
function placeOf({ path, section }) {
  const first = FIRST.indexOf(path);
  return first >= 0 ? first : FIRST.length + Number(section !== "");
}

function sectionsOf(parts) {
  const sections = new Map();
  for (const part of parts) sections.set(part.knob.section, [...(sections.get(part.knob.section) ?? []), part.node]);
  return [...sections].map(([name, nodes]) => element("fieldset", {}, element("legend", {}, name.replace(/[._]/g, " ") || "other"), ...nodes));
}

/** The knob that a problem is said at: its own, or the first of its section; undefined for neither. */
function homeOf(path, byPath) {
  const own = path.replace(/\[.*$/, "");
  return byPath.has(own) ? own : [...byPath.keys()].find((each) => own && each.startsWith(`${own}.`));
}

/** One knob: its label, its control, what is wrong with it, and the way back to its default. */
function partOf(knob, asking) {
  const ids = Object.fromEntries(["field", "label", "problem", "help"].map((name) => [name, `knob-${name}-${knob.path}`]));
  const described = [knob.help, `Allowed: ${knob.allowed}.`].filter(Boolean).join("\n");
  const label = element("label", { id: ids.label, for: ids.field, title: described }, knob.label, knob.unit && " ", element("small", {}, knob.unit));
  const reset = element("button", { type: "button", class: "knob-reset" }, "↺");
  const problem = element("p", { class: "knob-problem", id: ids.problem });
  const help = element("span", { class: "knob-unseen", id: ids.help }, described);
  const control = controlOf(knob, ids, (value, how, fields) => asking.turn(knob.path, value, how, fields));
  const head = element("div", { class: "knob-head" }, label, reset);
  const node = element("div", { class: "knob", "data-path": knob.path }, head, element("div", { class: "knob-control" }, control.node), problem, help);
  reset.addEventListener("click", () => {
    asking.turn(knob.path, null);
    inputsOf(control.node)[0]?.focus();
  });
  inputsOf(control.node).forEach((input) => input.setAttribute("aria-describedby", `${ids.problem} ${ids.help}`));
  return { knob, node, control, reset, problem };
}

const inputsOf = (node) => (node.matches("input, select, textarea") ? [node] : [...node.querySelectorAll("input, select, textarea")]);

function refreshPart({ knob, node, control, reset, problem }, hub, asking, problems) {
  const asked = asking.asked(knob.path);
  const isAsked = asked !== undefined && asked !== null;
  const value = isAsked ? asked : knob.default;
  const made = asking.isOnItsWay(knob.path) ? null : hub.state.checked?.values?.[knob.path] ?? null;
  control.show({ value, effective: made, isAsked, keepSeed: hub.state.keepSeed });
  const isTurned = isAsked && !isSameValue(asked, knob.default);
  reset.hidden = !isTurned;
  reset.title = `Back to ${knobText(knob, knob.default)}`;
  reset.setAttribute("aria-label", `${knob.label}: back to ${knobText(knob, knob.default)}`);
  node.classList.toggle("is-turned", isTurned);
  node.classList.toggle("is-wrong", problems.length > 0);
  problem.textContent = problems.join("\n");
  inputsOf(control.node).forEach((input) => (problems.length ? input.setAttribute("aria-invalid", "true") : input.removeAttribute("aria-invalid")));
}

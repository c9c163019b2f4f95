// The chosen picture, large, against its input or any other of the session: by a boundary or by the difference; and what made it.

import { differs, element, listed, metricsTable, offer, shortened } from "./elements.js";
import { COMPARED_BY } from "./looking.js";
import { settingName, settingTerm, settingValue } from "./naming.js";
import { borderPath, maskBits } from "./border.js";

const BY_CHOICE = "previous";
const UNITS = [["seconds", "s"], ["_bytes", "bytes"]];  // of numbers that are no metrics

/** What was asked of a picture, by path; settings that are as the library has them are left out. */
const askedOf = ({ prompt, negative_prompt, seed, task, checkpoint, settings }) => ({ prompt, negative_prompt, seed, task, checkpoint, ...settings });

const nameText = ({ number, starred }) => `${number}${starred ? " ★" : ""}`;

/** How something was, and how it is; of pictures that are given, whose values are digests, only that. */
function changeText(hub, { path, before, after }) {
  if (["image", "mask"].includes(path)) return before === null ? "given" : after === null ? "not given" : "another one";
  return [before, after].map((value) => shortened(settingValue(hub, path, value), 80)).join(" → ");
}

/** Another picture by its number, and by what of it is otherwise. */
function optionText(hub, entry, other) {
  const [ours, theirs] = [askedOf(entry), askedOf(other)];
  const paths = Object.keys({ ...theirs, ...ours }).filter((path) => differs(path, ours, theirs));
  const parts = paths.map((path) => (path === "task" ? theirs.task : `${settingName(hub, path)} ${shortened(settingValue(hub, path, theirs[path]), 24)}`));
  return `${nameText(other)}: ${parts.join(" · ") || "asked for alike"}`;
}

/** A picture of the session, or what it started from, as it is looked at. */
async function lookedAtIn(hub, { width, height, original, file, sha256 }) {
  const source = await hub.urlOf(file);
  // Drawn only when it is there, so that nothing flickers.
  const image = new Image();
  image.src = source;
  await image.decode();
  return { source, sha256, width, height, original: original ?? { left: 0, top: 0, width, height } };
}

/** What was repainted, as a line to lie over a frame. */
async function outlineOf(hub, entry) {
  const mask = await maskBits(await hub.urlOf(entry.mask));
  const parts = ["outline-under", "outline"].map((name) => {
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("class", name);
    path.setAttribute("d", borderPath(mask));
    return path;
  });
  const lines = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  lines.setAttribute("viewBox", `0 0 ${mask.width} ${mask.height}`);
  lines.setAttribute("preserveAspectRatio", "none");
  lines.append(...parts);
  return element("div", { class: "layer outlines" }, element("div", { class: "lens" }, lines));
}

/** What a picture is: its words, what is to be said of it, its numbers beside those of another one, and how it was made. */
function comparedFacts(hub, entry, other, previous) {
  const words = new Map((hub.state.session?.metrics ?? []).map((metric) => [metric.name, metric]));
  const [numbers, before] = [entry, other].map((one) => one?.metrics && { ...one.metrics, seconds: one.seconds });
  const metrics = Object.keys(numbers).map((name) => words.get(name) ?? { name, unit: UNITS.find(([ending]) => name.endsWith(ending))?.[1] });
  const telling = metrics.filter(({ name, telling: tells }) => tells || name === "seconds");
  const changed = entry.changed.map((change) => [settingTerm(hub, change.path), changeText(hub, change)]);
  const asked = Object.entries(askedOf(entry)).filter(([path]) => path !== "prompt");
  const made = asked.map(([path, value]) => [settingTerm(hub, path), settingValue(hub, path, value)]);
  const facts = [["size", `${entry.width}×${entry.height}`], ["picture_id", entry.picture_id], ["sha256 of the pixels", entry.sha256], ["file", entry.file]];
  const paragraph = (kind, text) => element("p", { class: kind, dir: "auto" }, text);
  return [
    paragraph("prompt", entry.prompt || "no prompt"),
    ...(entry.negative_prompt ? [paragraph("prompt without", `without: ${entry.negative_prompt}`)] : []),
    ...(entry.note ? [paragraph("said", entry.note)] : []),
    ...entry.notes.map((note) => paragraph("remark", note)),
    ...(changed.length ? [element("h4", {}, previous === undefined ? "Changed" : `Changed since picture ${previous}`), listed(changed)] : []),
    metricsTable(telling.length > 1 ? telling : metrics, numbers, before),
    element("details", {}, element("summary", {}, "How it was made"), listed([...made, ...facts]), metricsTable(metrics, numbers, before)),
  ];
}

/** The part of the page that compares. */
export function comparingPart(hub) {
  const { looking } = hub;
  const button = (text, label, act) => {
    const made = element("button", { type: "button", "aria-label": label, title: label }, text);
    made.addEventListener("click", act);
    return made;
  };
  const title = element("h3", {});
  const previous = button("‹", "Previous picture (Page up)", () => turn(-1));
  const next = button("›", "Next picture (Page down)", () => turn(1));
  const file = element("a", { target: "_blank" }, "Open the file");
  const stage = element("div", { class: "stage" });
  const facts = element("div", { class: "facts" });
  const against = element("select", { class: "against" });
  const by = element("select", { class: "by" });
  const split = element("input", { type: "range", min: 0, max: 100, step: 1, "aria-label": "Boundary between before and after, in percent" });
  const outlined = element("input", { type: "checkbox", class: "outlined" });
  const zoom = element("output", {});
  const ofMask = element("label", {}, outlined, " Outline of what was repainted");
  const ofOther = element("span", { class: "slider" }, element("label", {}, "by ", by), element("label", { class: "slider of-boundary" }, "Boundary ", split));
  const zooming = element("span", { class: "slider" }, button("−", "Zoom out (-)", () => looking.zoomBy(0.8)), zoom, button("+", "Zoom in (+)", () => looking.zoomBy(1.25)));
  const controls = element("div", { class: "controls" }, element("label", {}, "Compare with ", against), ofOther, ofMask, zooming);
  const shown = element("div", { class: "shown" }, element("div", {}, stage, controls), facts);
  const empty = element("p", { class: "empty" }, "No picture is chosen. Pictures that are made can be looked at here.");
  const node = element("section", { class: "comparing", "aria-label": "The chosen picture" },
    element("header", {}, title, previous, next, file), shown, empty);
  let wanted = "input";
  let latest = 0;
  let drawn = "";
  let due = 0;

  const entryOf = (number) => hub.state.pictures.get(number);
  const chosenEntry = () => entryOf(hub.local.chosen);
  const numbers = () => [...hub.state.pictures.keys()].sort((a, b) => a - b);

  /** The neighbor of the chosen picture, in the order of making. */
  function neighbor(step) {
    const all = numbers();
    return all[all.indexOf(hub.local.chosen) + step];
  }

  function turn(step) {
    const number = neighbor(step);
    if (number !== undefined) hub.choose(number);
  }

  /** What the chosen picture is compared with: another entry, its own with the input as its file, or null. */
  function otherOf(entry) {
    if (against.value === "input") return { ...entry, file: entry.input, sha256: undefined, metrics: undefined };
    return entryOf(against.value === BY_CHOICE ? neighbor(-1) : Number(against.value)) ?? null;
  }

  const nameOfOther = () => (against.value === BY_CHOICE ? String(neighbor(-1)) : against.value);

  function offerOthers(entry) {
    const before = neighbor(-1);
    const others = numbers().filter((number) => number !== entry.number).reverse();
    const offered = [
      ...(entry.input ? [["input", "its input"]] : []),
      ...(before === undefined ? [] : [[BY_CHOICE, "the picture before it"]]),
      ["", "nothing"],
      ...others.map((number) => [String(number), optionText(hub, entry, entryOf(number))]),
    ];
    offer(against, offered, wanted);
  }

  async function drawStage(entry, other) {
    const key = JSON.stringify([entry.number, entry.file, other?.file, nameOfOther(), outlined.checked]);
    if (key === drawn) return;
    drawn = key;
    const mine = ++latest;
    try {
      const [picture, before, outline] = await Promise.all([
        lookedAtIn(hub, entry), other && lookedAtIn(hub, other), outlined.checked && entry.mask ? outlineOf(hub, entry) : null,
      ]);
      if (mine !== latest) return;
      const frame = looking.framed(picture, before, { names: { before: nameOfOther(), after: String(entry.number) } });
      const keys = before ? "arrows move the boundary, " : "";
      for (const [name, value] of Object.entries({ tabindex: 0, role: "img", "aria-label": `Picture ${entry.number}; ${keys}+ and - zoom` })) frame.setAttribute(name, value);
      if (outline) frame.insertBefore(outline, frame.querySelector(".boundary"));
      const hadFocus = stage.contains(stage.getRootNode().activeElement);
      stage.style.setProperty("--ratio", String(entry.width / entry.height));
      stage.replaceChildren(frame);
      if (hadFocus) frame.focus({ preventScroll: true });
      file.href = picture.source;
    } catch (error) {
      if (mine !== latest) return;
      drawn = "";
      stage.replaceChildren(element("p", { class: "failed" }, `Picture ${entry.number} cannot be shown: ${error.message}`));
    }
  }

  function draw() {
    clearTimeout(due);
    const entry = chosenEntry();
    node.classList.toggle("nothing", !entry);
    if (!entry) return;
    title.textContent = [nameText(entry), entry.task, `seed ${entry.seed}`].join(" · ");
    previous.disabled = neighbor(-1) === undefined;
    next.disabled = neighbor(1) === undefined;
    offerOthers(entry);
    const other = otherOf(entry);
    ofOther.hidden = !other;
    ofMask.hidden = !entry.mask;
    const isOpen = facts.querySelector("details")?.open ?? false;
    facts.replaceChildren(...comparedFacts(hub, entry, other, neighbor(-1)));
    facts.querySelector("details").open = isOpen;
    drawStage(entry, other);
  }

  offer(by, COMPARED_BY);
  by.addEventListener("change", () => looking.compareBy(by.value));
  split.addEventListener("input", () => looking.show({ split: Number(split.value) }));
  against.addEventListener("change", () => { wanted = against.value; draw(); });
  outlined.addEventListener("change", draw);
  stage.addEventListener("keydown", (event) => {
    const step = { PageUp: -1, PageDown: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    turn(step);
  });
  looking.follow((view) => {
    split.value = view.split;
    by.value = looking.comparedBy;
    zoom.textContent = looking.zoomText;
  });
  hub.on("chosen", draw);
  // With a picture that is made its choice mostly comes, too, and a list of all the others is not written twice.
  for (const event of ["pictures", "session", "knobs"]) {
    hub.on(event, () => {
      clearTimeout(due);
      due = setTimeout(draw);
    });
  }
  draw();
  return { node };
}

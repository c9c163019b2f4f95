// One picture, large: before and after, its metrics beside those of what it is compared with, its prompt, all its settings.

import { differs, element, listed, metricsTable, offer, written } from "./elements.js";
import { axes, chosen, find, labelOf, lookedAt, nameOf, namesRuns, report, runOf, settingsOf } from "./data.js";
import { drawMarks } from "./marks.js";
import { order, pageOf } from "./axes.js";
import { drawPage, looking } from "./grid.js";
import { recipeOf } from "./recipe.js";
import { remember } from "./link.js";

const viewer = find("viewer");
let viewed = null;
let opened = null;
let mayGoBack = false;  // whether the entry that opening made in the history is still there
let goesBack = false;  // whether closing it takes that entry away, which is no step of anybody's

/** What a picture can be compared with: [value, text, picture], an input or mask being of the picture's own place. */
function befores(picture) {
  const found = report.roles.filter((role) => role in picture).map((role) => [role, `the ${role}`, { ...picture, sha256: picture[role], metrics: undefined }]);
  const [sample, task] = [settingsOf(picture).sample, settingsOf(picture).task];
  for (const other of report.pictures) {
    const { sample: ofSample, task: ofTask } = settingsOf(other);
    if (other !== picture && other.state === "done" && ofSample === sample && ofTask === task) {
      found.push([String(other.index), differing(picture, other), other]);
    }
  }
  return found;
}

/** How another picture of the same sample and task was made differently. */
function differing(picture, other) {
  const [ours, theirs] = [settingsOf(picture), settingsOf(other)];
  const parts = report.varying.filter((path) => differs(path, ours, theirs));
  const text = parts.map((path) => `${axes.get(path)?.name ?? path} ${written(theirs[path])}`).join(" · ");
  const isNamed = (namesRuns() || !text) && runOf(other) !== runOf(picture);
  const label = other.number ? `${labelOf(other)}${other.starred ? " ★" : ""}` : isNamed && runOf(other).label;
  return [label, text].filter(Boolean).join(": ");
}

export function openViewer(picture) {
  opened = picture;
  const isOpening = !viewer.open;
  showInViewer(picture, chosen.compare === "mask" ? "mask" : undefined);
  remember({ isStep: isOpening, state: { isViewer: true } });
  mayGoBack = true;
}

/** Show a picture large, with what it is compared with, as the address says already. */
export function showInViewer(picture, before) {
  if (viewer.open && picture === viewed && (before === undefined || String(before) === find("before").value)) return;
  opened ??= picture;
  drawViewer(picture, before === undefined ? undefined : String(before));
  if (viewer.open) return;
  viewer.showModal();
  // The browser's Back closes it, and does not scroll.
  history.scrollRestoration = "manual";
  mayGoBack = Boolean(history.state?.isViewer);
  find(find("viewer-split").checkVisibility() ? "viewer-split" : "close").focus();
}

export function closeViewer() {
  history.scrollRestoration = "auto";
  mayGoBack = false;
  if (viewer.open) viewer.close();
}

export const viewedPicture = () => (viewer.open ? viewed : null);

/** What the large picture is compared with, unless it is what it is compared with by itself. */
export const shownBefore = () => (find("before").selectedIndex > 0 ? find("before").value : "");

/** Whether the history has just gone back because the large picture was closed. */
export function hasGoneBack() {
  const has = goesBack;
  goesBack = false;
  return has;
}

function drawViewer(picture, before) {
  viewed = picture;
  find("viewer-title").textContent = nameOf(picture);
  const all = order();
  const position = all.indexOf(picture);
  find("previous").disabled = position < 1;
  find("next").disabled = position < 0 || position + 1 >= all.length;
  const isThere = picture.state === "done" && picture.sha256;
  find("viewer-mark").hidden = picture.state !== "done";
  find("viewer-mark").dataset.mark = picture.index;
  drawMarks();
  const offered = isThere ? befores(picture).map(([value, text]) => [value, text]) : [];
  // What has the focus must not vanish with it.
  const vanishing = isThere ? (offered.length ? "" : ".controls .of-before *") : ".controls *";
  if (vanishing && document.activeElement.matches(vanishing)) find("close").focus();
  for (const control of viewer.querySelectorAll("#stage > .controls, #stage > .quiet")) control.hidden = !isThere;
  for (const control of viewer.querySelectorAll(".of-before")) control.hidden = !offered.length;
  find("flicker-key").hidden = !offered.length;
  if (isThere) offer(find("before"), offered, before);
  drawStage();
}

function drawStage() {
  const picture = viewed;
  const stage = find("stage-frame");
  if (!(picture.state === "done" && picture.sha256)) {
    const gap = element("div", { class: `gap ${picture.state}` }, element("strong", {}, picture.state), element("span", {}, picture.message ?? "not made yet"));
    stage.replaceChildren(gap);
    find("facts").replaceChildren(...factsOf(picture, null));
    return;
  }
  const [, , other] = befores(picture).find(([value]) => value === find("before").value) ?? [];
  stage.style.setProperty("--ratio", String(picture.width / picture.height));
  stage.replaceChildren(looking.framed(lookedAt(picture), lookedAt(other), { alone: true }));
  find("facts").replaceChildren(...factsOf(picture, other));
}

function factsOf(picture, other) {
  const settings = settingsOf(picture);
  const run = runOf(picture);
  const parts = picture.note ? [element("h3", {}, "Note"), element("p", { class: "prompt", dir: "auto" }, picture.note)] : [];
  parts.push(element("h3", {}, "Prompt"), element("p", { class: "prompt", dir: "auto" }, settings.prompt));
  parts.push(...recipeOf(picture));
  const id = picture.picture_id ? `, picture ${picture.picture_id.slice(0, 10)}` : "";
  parts.push(element("p", { class: "quiet" }, `seed ${settings.seed}${id}`));
  if (picture.seen) parts.push(element("p", { class: "quiet" }, picture.seen));
  for (const note of picture.notes ?? []) parts.push(element("p", { class: "note" }, note));
  if (settings.negative_prompt) parts.push(element("h3", {}, "Negative prompt"), element("p", { class: "prompt", dir: "auto" }, settings.negative_prompt));
  if (picture.templates) parts.push(element("h3", {}, "Before words were replaced or drawn"), listed(Object.entries(picture.templates)));
  if (picture.weights) parts.push(element("h3", {}, "Weights of words"), listed(Object.entries(picture.weights)));
  if (report.varying.length) {
    parts.push(element("h3", {}, "What differs"), listed(report.varying.filter((path) => path in settings).map((path) => [path, written(settings[path])])));
  }
  if (picture.metrics) parts.push(element("h3", {}, "Metrics"), metricsTable(report.metrics, picture.metrics, other?.metrics));
  const shown = new Set(["prompt", "negative_prompt", "seed", ...report.varying]);
  const rest = Object.entries(settings).filter(([path]) => !shown.has(path));
  parts.push(element("h3", {}, "All other settings"), listed(rest.map(([path, value]) => [path, written(value)])));
  const facts = [picture.number ? ["picture", `${picture.number} of ${run.folder}`] : ["run", run.name], ["run_id", run.run_id]];
  if (run.folder && picture.file) facts.push(["file", `${run.folder}/${picture.file}`]);
  if (picture.picture_id) facts.push(["picture_id", picture.picture_id]);
  if (picture.sha256) facts.push(["size", `${picture.width}×${picture.height}`], ["sha256 of the pixels", picture.sha256]);
  if (run.finished) facts.push(["finished", run.finished]);
  if (run.instruction_set) facts.push(["instruction set", run.instruction_set]);
  facts.push(...Object.entries(run.versions));
  parts.push(element("h3", {}, picture.number ? "The session" : "The run"), listed(facts));
  return parts;
}

function turn(step) {
  const all = order();
  const next = all[all.indexOf(viewed) + step];
  if (!next) return;
  // What is compared stays the same where the next picture has it.
  drawViewer(next, find("before").value);
  remember({ isStep: false });
}

find("previous").addEventListener("click", () => turn(-1));
find("next").addEventListener("click", () => turn(1));
find("close").addEventListener("click", () => viewer.close());
find("before").addEventListener("change", () => { drawStage(); remember({ isStep: false }); });
find("viewer-split").addEventListener("input", () => looking.show({ split: Number(find("viewer-split").value) }));
for (const button of viewer.querySelectorAll("[data-zoom]")) {
  button.addEventListener("click", () => looking.zoomBy(button.dataset.zoom === "1" ? 1.25 : 0.8));
}
document.addEventListener("keydown", (event) => {
  const step = { PageUp: -1, PageDown: 1 }[event.key];
  if (!step || !viewer.open) return;
  event.preventDefault();
  turn(step);
});
// A click beside the dialog closes it.
viewer.addEventListener("click", (event) => { if (event.target === viewer) viewer.close(); });
viewer.addEventListener("close", () => {
  if (viewer.open) return;  // the event comes later than the closing, and it may be open again
  goesBack = mayGoBack;
  if (mayGoBack) history.back();
  mayGoBack = false;
  const page = pageOf(viewed);
  if (page >= 0 && page !== chosen.page) {
    chosen.page = page;
    drawPage();
  }
  if (!goesBack) remember({ isStep: false });
  document.querySelector(`main [data-picture="${viewed.index}"]`)?.focus({ preventScroll: viewed === opened });
  opened = null;
});
looking.follow(({ split }) => {
  find("viewer-split").value = split;
  find("viewer-zoom").textContent = looking.zoomText;
});

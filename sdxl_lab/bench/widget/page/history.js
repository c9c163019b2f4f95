// All pictures of the session, the latest first: what changed from one to the next, stars and notes, and what goes on from them.

import { counted, element, shortened } from "./elements.js";
import { settingName, settingValue } from "./naming.js";
import { bringBack, deletePicture, doing, makeAgain, showComparison, showReproduction, toParametersCell, toSweepFile, turnStar, writeReport } from "./deeds.js";
import { thumbnailsOf } from "./thumbnails.js";

/** The history: a list of all pictures, and what can be done with the chosen one. */
export function historyPart(hub) {
  const list = element("ul", { class: "history-list", "aria-label": "Pictures, the latest first" });
  const items = new Map();
  const deleted = deletedLine(hub);
  const thumbnails = thumbnailsOf(hub, items, list);
  const shown = () => [...items.values()].filter(({ node }) => node.offsetParent).sort((one, other) => other.number - one.number);

  async function remove(number) {
    const others = shown();
    const place = others.findIndex((item) => item.number === number);
    const next = others[place + 1] ?? others[place - 1];
    const wasChosen = hub.local.chosen === number;
    if (!(await deletePicture(hub, number))) return;
    deleted.say(number);
    if (wasChosen) hub.choose(next?.number ?? null);
    next?.pick.focus();
  }

  function take({ changed, gone }) {
    for (const number of gone) {
      thumbnails.forget(items.get(number));
      items.get(number)?.node.remove();
      items.delete(number);
    }
    for (const entry of changed) {
      if (!items.has(entry.number)) add(itemOf(hub, entry.number));
      items.get(entry.number).draw(entry);
      thumbnails.show(items.get(entry.number));
      deleted.forget(entry.number);
    }
    keepOneStop();
  }

  function add(item) {
    items.set(item.number, item);
    let after = list.firstElementChild;
    while (after && Number(after.dataset.number) > item.number) after = after.nextElementSibling;
    list.insertBefore(item.node, after);
    thumbnails.watch(item);
  }

  /** One picture is reached by the tab key; arrows reach the others. */
  function keepOneStop() {
    const focused = list.getRootNode().activeElement?.closest?.("li");
    const stop = (list.contains(focused) && items.get(Number(focused.dataset.number))) || items.get(hub.local.chosen) || shown()[0];
    for (const item of items.values()) item.pick.tabIndex = item === stop ? 0 : -1;
  }

  list.addEventListener("focusin", keepOneStop);
  list.addEventListener("keydown", (event) => {
    const number = numberAt(event);
    const others = shown();
    const next = others[placeAfter(event.key, others.findIndex((item) => item.number === number), columnsOf(list), others.length)];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (next) next.pick.focus();
    else if (event.key === "s") turnStar(hub, number).catch(() => {});
    else if (event.key === "Delete") remove(number).catch(() => {});
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  hub.on("pictures", take);
  hub.on("knobs", () => { for (const item of items.values()) item.draw(item.entry); });
  hub.on("chosen", (number) => {
    for (const item of items.values()) item.pick.setAttribute("aria-current", String(item.number === number));
    if (items.has(number)) reveal(list, items.get(number).node);
    keepOneStop();
  });
  take({ changed: [...hub.state.pictures.values()], gone: [] });
  const node = element("section", { class: "history", "aria-label": "History" }, headLine(hub, list), deleted.node, list, chosenLine(hub, remove));
  return { node };
}

/** Scroll the list, and nothing around it, to where a picture is. */
function reveal(list, node) {
  list.scrollTop = Math.min(Math.max(list.scrollTop, node.offsetTop + node.offsetHeight - list.clientHeight), node.offsetTop);
}

const numberAt = (event) => Number(event.target.closest("li")?.dataset.number);

const columnsOf = (list) => getComputedStyle(list).gridTemplateColumns.split(" ").length;

/** Where a key leads from a place in the list; -1 if nowhere. */
function placeAfter(key, place, columns, count) {
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -place, End: count - 1 - place };
  return key in steps ? Math.min(Math.max(place + steps[key], 0), count - 1) : -1;
}

/** How many there are, and what is done with all that are shown. */
function headLine(hub, list) {
  const title = element("h3", {});
  const only = element("input", { type: "checkbox" });
  const compare = doing(element("button", { type: "button" }), () => showComparison(hub, only.checked));
  const report = doing(element("button", { type: "button" }), () => writeReport(hub, only.checked));
  const draw = () => {
    const all = [...hub.state.pictures.values()];
    const starred = all.filter((entry) => entry.starred).length;
    title.textContent = `${counted(all.length, "picture")}, ${starred} starred`;
    compare.textContent = only.checked ? "Compare starred" : "Compare all";
    report.textContent = only.checked ? "Report of starred" : "Report of all";
    compare.hidden = report.hidden = !(only.checked ? starred : all.length);
    list.classList.toggle("starred-only", only.checked);
  };
  only.addEventListener("change", draw);
  hub.on("pictures", draw);
  draw();
  return element("header", {}, title, element("label", {}, only, " starred only"), compare, report);
}

/** One picture of the list. */
function itemOf(hub, number) {
  const image = element("img", { alt: "", loading: "lazy", decoding: "async", draggable: "false" });
  const caption = element("span", { class: "caption" });
  const pick = element("button", { type: "button", class: "pick", tabindex: "-1", "aria-current": String(hub.local.chosen === number) }, element("span", { class: "thumb" }, image), caption);
  const star = element("button", { type: "button", class: "star", tabindex: "-1" });
  const node = element("li", { "data-number": String(number) }, pick, star);
  // The focus would scroll the list below the pointer, and there would be no click.
  pick.addEventListener("mousedown", (event) => {
    event.preventDefault();
    pick.focus({ preventScroll: true });
  });
  pick.addEventListener("click", () => {
    hub.choose(number);
    hub.show("look");
  });
  doing(star, () => turnStar(hub, number));
  const item = { number, node, pick, image, entry: null };
  let drawn = "";
  item.draw = (entry) => {
    item.entry = entry;
    const told = entry.changed.map((change) => changeWords(hub, change));
    const is = JSON.stringify([entry.starred, entry.note, entry.prompt, told]);
    if (is === drawn) return;
    drawn = is;
    const changes = told.join(" · ") || entry.prompt;
    node.classList.toggle("starred", entry.starred);
    star.textContent = entry.starred ? "★" : "☆";
    star.setAttribute("aria-pressed", String(entry.starred));
    star.setAttribute("aria-label", `Star picture ${number}`);
    caption.replaceChildren(element("b", {}, String(number)), ` ${changes}`, ...(entry.note ? [element("i", {}, ` ${entry.note}`)] : []));
    pick.title = [entry.note && `Note: ${entry.note}`, entry.prompt, ...told].filter(Boolean).join("\n");
    pick.setAttribute("aria-label", [`Picture ${number}`, entry.starred && "starred", changes, entry.note].filter(Boolean).join(", "));
  };
  return item;
}

/** What changed against the picture before, in a few words. */
export function changeWords(hub, { path, before, after }) {
  if (path === "image") return before === null ? "a picture" : after === null ? "no picture" : "another picture";
  if (path === "mask") return before === null ? "a mask" : after === null ? "no mask" : "another mask";
  const [was, is] = path === "prompt" ? otherWords(before, after) : [before, after].map((value) => settingValue(hub, path, value));
  return `${path === "prompt" ? "" : `${settingName(hub, path)} `}${shortened(was)} → ${shortened(is)}`;
}

/** The words of two texts between those that they begin and end with alike. */
function otherWords(before, after) {
  const [was, is] = [before, after].map((text) => text.split(/\s+/).filter(Boolean));
  const most = Math.min(was.length, is.length);
  let first = 0;
  while (first < most && was[first] === is[first]) first += 1;
  let last = 0;
  while (last < most - first && was.at(-1 - last) === is.at(-1 - last)) last += 1;
  return [was, is].map((words) => `“${words.slice(first, words.length - last).join(" ")}”`);
}

/** What was deleted last, which can be made again. */
function deletedLine(hub) {
  const text = element("span");
  const node = element("p", { class: "deleted", role: "status", hidden: true }, text);
  let last = null;
  node.append(" ", doing(element("button", { type: "button" }, "Make again"), () => makeAgain(hub, last)));
  return {
    node,
    say(number) {
      last = number;
      text.textContent = `Picture ${number} was deleted.`;
      node.hidden = false;
    },
    forget(number) {
      if (number === last) node.hidden = true;
    },
  };
}

/** What can be done with the chosen picture. */
function chosenLine(hub, remove) {
  const chosen = () => hub.local.chosen;
  const button = (text, work, title) => doing(element("button", { type: "button", title }, text), () => work(hub, chosen()));
  const name = element("strong");
  const star = button("☆ Star", turnStar, "Star it (s)");
  const note = element("input", { type: "text", class: "note", placeholder: "Note", autocomplete: "off" });
  const node = element("div", { class: "chosen", role: "group", hidden: true },
    name, star, note,
    button("Bring back", bringBack, "Lay on the bench what it was made from, with what was asked for it"),
    button("Parameters cell", toParametersCell, "The parameters of a run that makes it, as a new cell of the notebook"),
    button("Sweep file…", toSweepFile, "A file for sdxl-lab sweep, around this picture"),
    button("Reproduce", showReproduction, "Make it once more from what its PNG says, and see whether it is the same, bit for bit"),
    button("Open PNG", () => hub.frontend.open(hub.state.pictures.get(chosen()).file)),
    button("Delete…", (_, number) => remove(number), "Delete it (Delete)"));
  note.addEventListener("change", () => hub.do("note", { number: Number(note.dataset.number), text: note.value }).catch(() => {}));
  note.addEventListener("keydown", (event) => {
    if (event.key === "Enter") note.blur();
  });

  const draw = () => {
    const entry = hub.state.pictures.get(chosen());
    node.hidden = !entry;
    if (!entry) return;
    name.textContent = `Picture ${entry.number}`;
    node.setAttribute("aria-label", name.textContent);
    star.textContent = entry.starred ? "★ Starred" : "☆ Star";
    star.setAttribute("aria-pressed", String(entry.starred));
    note.setAttribute("aria-label", `Note on picture ${entry.number}`);
    const isWriting = note.getRootNode().activeElement === note && note.dataset.number === String(entry.number);
    if (!isWriting) note.value = entry.note;
    note.dataset.number = String(entry.number);
  };
  hub.on("chosen", draw);
  hub.on("pictures", draw);
  draw();
  return node;
}

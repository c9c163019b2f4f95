// A study on a page: who votes, pictures side by side, an answer, the next ones. `judge(root, study, keep)` fills an element, also of a shadow root;
// `keep` is where votes go and pictures come from:
//
//   keep.isSafe               whether votes outlive the page
//   await keep.judges()       who has voted before, as `{ judge, count }`
//   await keep.load(judge)    the votes of a judge
//   await keep.save(judge, votes)   called after each answer; an error where they could not be kept
//   await keep.picture(name)  the address of a picture
//   keep.where                in words: where votes are kept

import { element } from "./elements.js";
import { Looking } from "./looking.js";
import { Answers, LONGEST_JUDGE, fileName, nameOf, readAnswers } from "./answers.js";

const AHEAD = 2;  // trials whose pictures are decoded before they are shown
const TYPED = "input, textarea, select";
const HELD = { i: "input", m: "mask" };

export async function judge(root, study, keep) {
  const view = new Judging(root, study, keep);
  await view.ask();
  return view;
}

class Judging {
  #decoded = new Map();
  #trial = null;
  #since = 0;
  #isSaved = true;

  constructor(root, study, keep) {
    Object.assign(this, { root, study, keep });
    this.count = study.trials[0].pictures.length;
    root.classList.add("study");
    root.addEventListener("keydown", (event) => this.#key(event));
    root.addEventListener("keyup", (event) => { if (HELD[event.key.toLowerCase()]) this.#hold(null); });
    root.ownerDocument.defaultView.addEventListener("blur", () => this.#hold(null));
    root.ownerDocument.defaultView.addEventListener("beforeunload", (event) => { if (!this.#isSaved && !keep.isSafe) event.preventDefault(); });
    new ResizeObserver(() => this.#layOut()).observe(root);
    root.ownerDocument.defaultView.addEventListener("resize", () => this.#layOut());
  }

  /** Ask who votes. */
  async ask() {
    const { study, keep } = this;
    const name = element("input", { type: "text", name: "judge", maxlength: LONGEST_JUDGE, autocomplete: "off", required: true, autofocus: true });
    const fault = element("p", { role: "alert", class: "fault" });
    const file = element("input", { type: "file", accept: ".json,application/json", hidden: true });
    const form = element("form", { class: "who" }, element("label", {}, "Your name ", name), element("button", { class: "main" }, "Begin"));
    const begin = async (judge, votes) => {
      if (!judge) {
        fault.textContent = "Please give a name: by it your answers are told from those of others.";
        name.focus();
        return;
      }
      try {
        this.answers = new Answers(study, judge, votes ?? await keep.load(judge));
      } catch (error) {
        fault.textContent = error.message;
        return;
      }
      this.#open();
      if (votes) this.#save();
    };
    form.addEventListener("submit", (event) => { event.preventDefault(); begin(nameOf(name.value)); });
    file.addEventListener("change", async () => {
      try {
        const read = readAnswers(study, await file.files[0].text());
        await begin(read.judge, read.votes);
      } catch (error) { fault.textContent = error.message; }
      file.value = "";
    });
    const before = (await keep.judges()).map(({ judge, count }) => pressed(`Go on as ${judge} (${count} of ${study.trials.length})`, () => begin(judge)));
    this.root.replaceChildren(element("main", { class: "start" },
      element("h1", {}, study.question),
      element("p", {}, `You will be shown ${this.count === 2 ? "two pictures" : `${this.count} pictures`} at a time, ${study.trials.length} times. `
        + "Choose the one that answers the question. Say that they are equal, or skip, where you cannot choose. There is no right answer; the first look counts."),
      form, fault,
      before.length ? element("p", { class: "before" }, ...before) : "",
      element("p", { class: "quiet" }, `${keep.where} `, pressed("Go on from a saved file", () => file.click(), "link"), file),
      keep.isSafe ? "" : unsafe(),
      this.#help()));
    name.focus({ preventScroll: true });
  }

  #open() {
    const { study, count } = this;
    const places = Array.from({ length: count }, (_, index) => index);
    this.progress = element("progress", { max: this.answers.total, value: 0, "aria-label": "How much is answered" });
    this.said = element("span", { class: "said", role: "status" });
    this.note = element("p", { class: "note quiet", role: "status" });
    this.prompt = element("p", { class: "prompt", dir: "auto" });
    this.warning = element("div", { role: "alert" }, this.keep.isSafe ? "" : unsafe());
    this.frames = element("div", { class: "frames", role: "group", "aria-label": "Pictures" });
    this.choices = places.map((index) => pressed("", () => this.#answer(index), "choice"));
    this.holds = Object.values(HELD).map((role) => held(role, (is) => this.#hold(is ? role : null)));
    const tie = pressed("Tie", () => this.#answer("tie"), "choice tie", "t");
    const [first, ...others] = this.choices;
    this.zoomed = element("output", {});
    const looking = [
      pressed("−", () => this.looking.zoomBy(0.8), "", "", "Zoom out"), this.zoomed, pressed("+", () => this.looking.zoomBy(1.25), "", "", "Zoom in"),
    ];
    this.undo = pressed("Undo", () => this.#undo(), "", "u");
    this.voting = element("main", { class: "voting" },
      element("header", {}, element("h1", {}, study.question), this.said,
        pressed("Save", () => this.#saveSoFar(), "link", "", "Save the votes so far as a file"), this.progress),
      this.note,
      this.warning,
      this.prompt,
      this.frames,
      element("div", { class: "choices", role: "group", "aria-label": "Your answer" }, ...(count === 2 ? [first, tie, ...others] : [...this.choices, tie])),
      element("div", { class: "tools" }, pressed("Skip", () => this.#answer("skip"), "", "s"), this.undo, ...this.holds,
        element("span", { class: "zoom", role: "group", "aria-label": "Zoom of all pictures" }, ...looking)),
      this.#help());
    this.root.replaceChildren(this.voting);
    this.root.focus({ preventScroll: true });
    this.looking ??= new Looking(this.root);
    this.looking.follow(() => { this.zoomed.textContent = this.looking.zoomText; });
    this.#next();
  }

  async #next() {
    const { answers } = this;
    const [trial, ...later] = answers.left;
    this.#trial = null;
    if (!trial) {
      this.#end();
      return;
    }
    if (!this.voting.isConnected) this.root.replaceChildren(this.voting);
    this.progress.value = answers.votes.length;
    this.said.textContent = `${answers.votes.length + 1} of ${answers.total}`;
    this.note.textContent = "";
    this.undo.disabled = !answers.votes.length;
    this.prompt.hidden = !trial.prompt;
    this.prompt.textContent = trial.prompt ?? "";
    this.holds.forEach((button) => { button.hidden = !(button.dataset.role in trial); });
    this.#hold(null);
    this.frames.classList.add("waiting");
    const shown = answers.shown(trial);
    const [sources, input, mask] = await Promise.all([
      Promise.all(shown.map((picture) => this.#ready(picture))), trial.input && this.#ready(trial.input), trial.mask && this.#ready(trial.mask),
    ]);
    if (answers.left[0] !== trial) return;  // somebody was quicker
    this.frames.replaceChildren(...sources.map((source, index) => {
      const [width, height] = trial.sizes[trial.pictures.indexOf(shown[index])];
      const frame = this.looking.framed({ source, width, height, original: { left: 0, top: 0, width, height } }, null, { alone: true });
      frame.setAttribute("role", "img");
      for (const [role, held] of Object.entries({ input, mask })) {
        if (held) frame.querySelector(".lens").append(element("img", { src: held, alt: "", class: `held of-${role}`, draggable: "false" }));
      }
      return element("figure", {}, frame, element("figcaption", {}));
    }));
    this.looking.show({ zoom: 1 });
    this.#layOut();
    await Promise.all([...this.frames.querySelectorAll("img")].map((image) => image.decode().catch(() => {})));
    this.frames.classList.remove("waiting");
    this.#trial = trial;
    this.#since = performance.now();
    const wanted = [trial, ...later.slice(0, AHEAD)].flatMap(({ pictures, input: before, mask: region }) => [...pictures, before, region].filter(Boolean));
    for (const name of this.#decoded.keys()) if (!wanted.includes(name)) this.#decoded.delete(name);
    for (const name of wanted) this.#ready(name).catch(() => {});
  }

  /** The address of a picture, once it is decoded: what holds it keeps it ready. */
  #ready(name) {
    if (!this.#decoded.has(name)) {
      const image = new Image();
      const ready = this.keep.picture(name).then(async (source) => {
        image.src = source;
        await image.decode();
        return source;
      });
      this.#decoded.set(name, ready);
      ready.catch(() => this.#decoded.delete(name));
    }
    return this.#decoded.get(name);
  }

  #answer(answer) {
    if (!this.#trial) return;
    this.answers.add(this.#trial, answer, performance.now() - this.#since);
    this.#save();
    this.#next();
  }

  #undo() {
    if (!this.answers.undo()) return;
    this.#save();
    this.#next();
  }

  async #save() {
    this.#isSaved = false;
    try {
      await this.keep.save(this.answers.judge, this.answers.votes);
    } catch (error) {
      this.keep.isSafe = false;
      this.warning.replaceChildren(unsafe(error.message));
    }
  }

  #end() {
    const { answers } = this;
    const note = element("p", { role: "status" });
    const text = element("textarea", { readonly: true, rows: 6, hidden: true, "aria-label": "Your votes" });
    const copy = async () => {
      try {
        await navigator.clipboard.writeText(answers.text);
        note.textContent = "Copied.";
      } catch {
        text.value = answers.text;
        text.hidden = false;
        text.select();
        note.textContent = "Press Ctrl and C to copy what is marked.";
      }
    };
    const save = pressed("Save votes", () => { this.#download(); note.textContent = `Saved as ${fileName(answers.judge)}.`; }, "main");
    this.root.replaceChildren(element("main", { class: "start" },
      element("h1", {}, "Thank you"),
      element("p", {}, this.keep.goes ?? "All is answered. Save your votes, and send the file to whoever asked you."),
      element("p", { class: "before" }, save, pressed("Copy them", copy), pressed("Undo the last one", () => this.#undo(), "", "u")),
      note, text));
    save.focus({ preventScroll: true });
  }

  #saveSoFar() {
    const { answers } = this;
    this.#download();
    this.note.textContent = `Saved as ${fileName(answers.judge)}: ${answers.votes.length} of ${answers.total} answers.`;
    this.#layOut();
  }

  #download() {
    const { answers } = this;
    const address = URL.createObjectURL(new Blob([answers.text], { type: "application/json" }));
    const link = element("a", { href: address, download: fileName(answers.judge), hidden: true });
    this.root.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(address), 60000);
    this.#isSaved = true;
  }

  #hold(role) {
    for (const each of Object.values(HELD)) this.root.classList.toggle(`holds-${each}`, each === role);
    for (const button of this.holds ?? []) button.setAttribute("aria-pressed", String(button.dataset.role === role));
  }

  /** As many columns as make the pictures largest. */
  #layOut() {
    const frames = this.frames?.isConnected ? [...this.frames.querySelectorAll(".frame")] : [];
    if (!frames.length) return;
    const shape = Math.min(...frames.map((frame) => Number(frame.style.getPropertyValue("--shape"))));
    const gap = 8;
    const caption = this.frames.querySelector("figcaption").offsetHeight;
    const width = this.frames.clientWidth;
    const [whole, own] = [this.voting.getBoundingClientRect().height, this.frames.getBoundingClientRect().height];
    const height = Math.max(240, this.root.ownerDocument.defaultView.innerHeight - (whole - own) - 1);
    const cell = (columns) => {
      const rows = Math.ceil(frames.length / columns);
      return Math.min((width - gap * (columns - 1)) / columns, ((height - gap * (rows - 1)) / rows - caption) * shape);
    };
    const columns = frames.map((_, index) => index + 1).reduce((best, each) => (cell(each) > cell(best) + 1 ? each : best), 1);
    this.isStacked = frames.length === 2 && columns === 1;
    this.frames.style.setProperty("--columns", columns);
    this.frames.style.setProperty("--cell", `${Math.floor(Math.max(120, cell(columns)))}px`);
    const names = frames.length > 2 ? frames.map((_, index) => `${index + 1}`) : this.isStacked ? ["Upper", "Lower"] : ["Left", "Right"];
    const keys = frames.length > 2 ? names : this.isStacked ? ["↑", "↓"] : ["←", "→"];
    for (const [index, figure] of [...this.frames.children].entries()) {
      figure.querySelector("figcaption").textContent = names[index];
      figure.querySelector(".frame").setAttribute("aria-label", `Picture: ${names[index]}`);
      relabel(this.choices[index], names[index], frames.length > 2 ? "" : keys[index]);
    }
  }

  #help() {
    const keys = this.count === 2 ? [["← →", "left, right"]] : [[`1 – ${this.count}`, "choose"]];
    keys.push(["t", "tie"], ["s", "skip"], ["u", "undo"], ["+ − 0", "zoom all pictures"], ["Shift ← →", "move them"]);
    for (const [key, role] of Object.entries(HELD)) if (this.study.trials.some((trial) => role in trial)) keys.push([key, `hold to see the ${role}`]);
    return element("p", { class: "help quiet" }, ...keys.flatMap(([key, does]) => [element("span", {}, element("kbd", {}, key), ` ${does}`), " "]));
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches?.(TYPED)) return;
    const key = event.key.toLowerCase();
    if (key === "u") {
      if (!event.repeat && this.answers) this.#undo();
    } else if (!this.#trial || !this.voting?.isConnected) return;
    else if (HELD[key]) this.#hold(HELD[key] in this.#trial ? HELD[key] : null);
    else {
      const answer = event.shiftKey ? undefined : this.#answerOf(event.key);
      if (answer === undefined) return;
      if (!event.repeat) this.#answer(answer);  // a key that is held answers once
    }
    event.preventDefault();
    event.stopPropagation();
  }

  #answerOf(key) {
    const index = Number(key) - 1;
    if (Number.isInteger(index) && index >= 0 && index < this.count) return index;
    const arrows = this.count > 2 ? {} : { ArrowLeft: 0, ArrowRight: 1, ...(this.isStacked ? { ArrowUp: 0, ArrowDown: 1 } : {}) };
    return { ...arrows, t: "tie", s: "skip" }[key.length > 1 ? key : key.toLowerCase()];
  }
}

function pressed(text, act, kind = "", key = "", label = undefined) {
  const button = element("button", { type: "button", class: kind, "aria-label": label, title: label });
  relabel(button, text, key);
  button.addEventListener("click", act);
  return button;
}

function relabel(button, text, key) {
  button.replaceChildren(text, ...(key ? [" ", element("kbd", { "aria-hidden": "true" }, key)] : []));
}

/** A button that does something as long as it is pressed, by pointer or key. */
function held(role, hold) {
  const key = Object.keys(HELD).find((each) => HELD[each] === role);
  const button = element("button", { type: "button", class: "holds", "data-role": role, "aria-pressed": "false", title: `Hold to see the ${role}` });
  relabel(button, role[0].toUpperCase() + role.slice(1), key);
  button.addEventListener("pointerdown", (event) => { button.setPointerCapture(event.pointerId); hold(true); });
  for (const end of ["pointerup", "pointercancel", "blur", "keyup"]) button.addEventListener(end, () => hold(false));
  button.addEventListener("keydown", (event) => { if ([" ", "Enter"].includes(event.key)) { event.preventDefault(); hold(true); } });
  button.addEventListener("contextmenu", (event) => event.preventDefault());
  return button;
}

function unsafe(why = "This browser does not keep your answers.") {
  return element("p", { class: "unsafe" }, `${why} Save them as a file before you leave, and begin with that file when you come back.`);
}

// What the report holds in all: how many pictures, which are missing and why, and what is the same in all of them.

import { counted, element, listed, written } from "./elements.js";
import { find, nameOf, report, runOf, sessions } from "./data.js";

export function drawSummary() {
  const [kept, ofRuns] = [report.pictures.filter((picture) => picture.number), report.pictures.filter((picture) => !picture.number)];
  const count = (state) => ofRuns.filter((picture) => picture.state === state).length;
  const planned = `${counted(ofRuns.length, "picture")} planned in ${counted(new Set(ofRuns.map(runOf)).size, "run")}`;
  const parts = ["done", "failed", "missing"].filter(count).map((state) => `${count(state)} ${state === "done" ? "made" : state}`);
  const stars = kept.filter((picture) => picture.starred).length;
  find("summary").textContent = [
    ofRuns.length && `${planned}: ${count("done") === ofRuns.length ? "all made" : parts.join(", ")}`,
    kept.length && `${counted(kept.length, "picture")} of ${counted(sessions.size, "session")}${stars ? `, ${stars} starred` : ""}`,
  ].filter(Boolean).join("; ");
  const gaps = report.pictures.filter((picture) => picture.state !== "done");
  find("gaps").hidden = !gaps.length;
  find("gaps").querySelector("summary").textContent = `${counted(gaps.length, "picture")} failed or missing`;
  find("gaps").querySelector("ul").append(...gaps.map((picture) => element("li", { class: picture.state },
    element("b", {}, picture.state), ` ${nameOf(picture)}${picture.message ? `: ${picture.message}` : ""}`)));
  const [head, ...others] = report.settings;
  const same = Object.entries(head).filter(([path, value]) => others.every((flat) => JSON.stringify(flat[path]) === JSON.stringify(value)));
  find("same").querySelector("dl").replaceWith(listed(same.map(([path, value]) => [path, written(value)])));
}

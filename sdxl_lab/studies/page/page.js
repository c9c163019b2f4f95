// The study as a page of its own: all that it shows stands in it, and votes are kept by the browser.

import { judge } from "./judging.js";

const study = JSON.parse(document.getElementById("data").textContent);
const KEY = `sdxl-lab study ${study.study}`;

function storage() {
  try {
    localStorage.setItem(`${KEY} probe`, "1");
    localStorage.removeItem(`${KEY} probe`);
    return localStorage;
  } catch {
    return null;
  }
}

const stored = storage();

/** Votes by judges. */
function all() {
  try {
    return JSON.parse(stored?.getItem(KEY) ?? "{}");
  } catch {
    return {};
  }
}

const keep = {
  isSafe: Boolean(stored),
  where: stored ? "Your answers are kept in this browser, so you can close the page and come back." : "",
  async judges() {
    return Object.entries(all()).map(([name, votes]) => ({ judge: name, count: votes.length }));
  },
  async load(name) {
    return all()[name] ?? [];
  },
  async save(name, votes) {
    try {
      stored?.setItem(KEY, JSON.stringify({ ...all(), [name]: votes }));
    } catch {
      throw new Error("This browser has no room left for your answers.");
    }
  },
  async picture(name) {
    return study.files[name];
  },
};

document.title = study.question;
document.body.tabIndex = -1;
judge(document.body, study, keep);

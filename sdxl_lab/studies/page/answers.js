// What a judge has answered so far, as a list and as the file that is sent back.

import { canonical, sha256 } from "./digests.js";
import { orderFor, shownTo } from "./drawing.js";

export const LONGEST_JUDGE = 40;

/** A judge's name as files hold it: without spaces around it, and without what moves a cursor or turns the writing. */
export function nameOf(text) {
  return [...text.normalize("NFC").replace(/[\p{Cc}\p{Cs}\u2028-\u202e\u2066-\u2069]/gu, "").trim()].slice(0, LONGEST_JUDGE).join("").trim();
}

/** What the file with a judge's votes is called, as in votes.py. */
export function fileName(judge) {
  return `votes-${judge.replace(/[^\p{L}\p{N}_-]+/gu, "-").replace(/^-+|-+$/g, "") || "judge"}.json`;
}

/** One judge's way through a study. */
export class Answers {
  constructor(study, judge, votes) {
    this.study = study;
    this.judge = judge;
    this.order = orderFor(study, judge);
    const trials = new Map(this.order.map((trial) => [trial.trial, trial]));
    const isAsked = ({ trial, shown }) => trials.has(trial) && String([...shown].sort()) === String([...trials.get(trial).pictures].sort());
    this.votes = votes.filter(isAsked);
  }

  get total() {
    return this.order.length;
  }

  /** The trials that are still to be answered, in order. */
  get left() {
    const done = new Set(this.votes.map(({ trial }) => trial));
    return this.order.filter(({ trial }) => !done.has(trial));
  }

  shown(trial) {
    return shownTo(this.study, this.judge, trial);
  }

  add(trial, answer, milliseconds) {
    const at = new Date().toISOString();
    this.votes.push({ trial: trial.trial, shown: this.shown(trial), answer, milliseconds: Math.max(0, Math.round(milliseconds)), at });
  }

  /** Take the last answer back; whether there was one. */
  undo() {
    return this.votes.pop() !== undefined;
  }

  /** The text of the file. */
  get text() {
    const { study, digest } = this.study;
    const values = { study, digest, judge: this.judge, votes: this.votes };
    return `${JSON.stringify({ ...values, sha256: sha256(canonical(values)) }, null, 1)}\n`;
  }
}

/** The judge and the votes of a file's text; an error, in words for the judge, where it is none of this study. */
export function readAnswers(study, text) {
  let values;
  try {
    values = JSON.parse(text);
    const { sha256: digest, ...rest } = values;
    if (digest !== sha256(canonical(rest)) || typeof values.judge !== "string" || !Array.isArray(values.votes)) throw new Error("changed");
  } catch {
    throw new Error("This file holds no votes, or was changed. Choose a file votes-….json that this page saved.");
  }
  if (values.study !== study.study || values.digest !== study.digest) throw new Error("This file has votes of another study.");
  return values;
}

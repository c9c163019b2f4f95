// What a judge sees when, and where: drawn for each judge from nothing but the name and the study, so that who comes back goes on where it was.

import { sha256 } from "./digests.js";

const REPEATED_BEFORE = 0.4;
const REPEATS_FROM = 0.6;

/** A number from 0 to 1 that is the same for the same words. */
function drawn(...words) {
  return parseInt(sha256(words.join("\n")).slice(0, 12), 16) / 2 ** 48;
}

/** The trials in a judge's order. What is asked twice is asked early, and again late. */
export function orderFor(study, judge) {
  const repeated = new Set(study.trials.map(({ mirrors }) => mirrors).filter(Boolean));
  const place = ({ trial, mirrors }) => {
    const at = drawn(study.study, judge, trial);
    if (mirrors) return REPEATS_FROM + at * (1 - REPEATS_FROM);
    return repeated.has(trial) ? at * REPEATED_BEFORE : at;
  };
  const places = new Map(study.trials.map((trial) => [trial, place(trial)]));
  return [...study.trials].sort((one, other) => places.get(one) - places.get(other));
}

/** The pictures of a trial in the order in which a judge sees them; of what is asked again the other way round. */
export function shownTo(study, judge, { trial, pictures, mirrors }) {
  const places = new Map(pictures.map((picture) => [picture, drawn(study.study, judge, mirrors ?? trial, picture)]));
  const order = [...pictures].sort((one, other) => places.get(one) - places.get(other));
  return mirrors ? order.reverse() : order;
}

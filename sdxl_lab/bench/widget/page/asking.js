// What is turned, on its way to the kernel: not more often than that can follow, and the last change always.

import { isSameValue } from "./typed.js";

const DRAGGED_MS = 80;
const TYPED_MS = 300;

/** Sends changes of what is asked; `refresh` is called when what is on its way has arrived. */
export function askingOf(hub, refresh) {
  const waiting = new Map();
  const sent = new Map();
  let [timer, due, last, besides] = [0, Infinity, -Infinity, {}];

  /** Send what waits, at once; a promise of its arrival. */
  function flush() {
    clearTimeout(timer);
    due = Infinity;
    if (!waiting.size && !Object.keys(besides).length) return Promise.resolve();
    const going = [...waiting];
    waiting.clear();
    for (const [path, value] of going) sent.set(path, value);
    const arrived = hub.do("ask", { changes: Object.fromEntries(going), ...besides });
    [last, besides] = [performance.now(), {}];
    const settle = () => {
      for (const [path, value] of going) if (sent.get(path) === value) sent.delete(path);
      refresh();
    };
    const settled = arrived.then(settle, settle);
    if (hub.local.live && going.length) (isRefused(hub) ? settled : Promise.resolve()).then(() => isRefused(hub) || makeLive(hub));
    return settled;
  }

  /** Take a change that is `dragged` (sent soon), `typed` (sent when the hand rests) or made at once, with other fields of the message. */
  function turn(path, value, how = "now", fields = {}) {
    const isKnown = !waiting.has(path) && (value === undefined || isSameValue(asked(path), value));
    if (isKnown && !Object.keys(fields).length) return undefined;
    if (!isKnown) waiting.set(path, value);
    besides = { ...besides, ...fields };
    refresh();
    if (how === "now") return flush();
    const now = performance.now();
    due = how === "typed" ? now + TYPED_MS : Math.min(due, Math.max(last + DRAGGED_MS, now));
    clearTimeout(timer);
    timer = setTimeout(flush, due - now);
    return undefined;
  }

  /** What is asked, changes that are on their way among it; undefined where nobody asks. */
  function asked(path) {
    const value = [waiting, sent].find((changes) => changes.has(path))?.get(path) ?? null;
    return isOnItsWay(path) ? value ?? undefined : hub.state.asked?.[path];
  }

  const isOnItsWay = (path) => waiting.has(path) || sent.has(path);
  return { turn, flush, asked, isOnItsWay };
}

const isRefused = (hub) => Boolean(hub.state.checked?.problems?.length);

/** Make what is asked now in place of what is being made; what is wrong with it stands beside the knobs. */
const makeLive = (hub) => Promise.resolve(hub.make({ latest: true })).catch(() => {});

// What is turned, on its way to the kernel: not more often than that can follow, and the last change always.

import { isSameValue } from "./typed.js";

const DRAGGED_MS = 85;
const TYPED_MS = 200;

/** Sends changes of what is asked; `refresh` is called when what is on its way has arrived. */
export function askingOf(hub, refresh) {
  const waiting = new Map();
  const sent = new Map();
  let [timer, due, last, besides, isOwed] = [0, Infinity, -Infinity, {}, false];

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
    isOwed = Boolean(hub.local.live && going.length);
    if (!isRefused(hub)) makeWhatIsOwed();
    return settled;
  }

  /** Take a change that is `dragged` (sent soon), `typed` (sent when the hand rests) or sent `now`, with other fields of the message. */
  function turn(path, value, how = "now", fields = {}) {
    if (value !== undefined) {
      if (!waiting.has(path) && isSameValue(asked(path), value)) return undefined;
      waiting.set(path, value);
    }
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
    const going = onTheirWay(path);
    return (going ? going.get(path) : hub.state.asked?.[path]) ?? undefined;
  }

  /** While something is wrong, nothing is made; as soon as it is right, what was turned meanwhile is. */
  function makeWhatIsOwed() {
    if (isOwed) Promise.resolve(hub.make({ latest: true })).catch(() => {});
    isOwed = false;
  }
  hub.on("checked", () => { if (!isRefused(hub)) makeWhatIsOwed(); });

  const onTheirWay = (path) => [waiting, sent].find((changes) => changes.has(path));
  return { turn, flush, asked, isOnItsWay: (path) => Boolean(onTheirWay(path)) };
}

const isRefused = (hub) => Boolean(hub.state.checked?.problems?.length);

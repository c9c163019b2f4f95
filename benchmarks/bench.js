// What bench.py does in JupyterLab's page and measures there: in seconds from what a hand does to what is in view. Its value is left in `waiting`.

(() => {
  const root = deep(".bench");  // the view itself, which goes from host to host as the output is written anew
  const [bar, stage, list] = [".making-bar", ".stage", ".history-list"].map((selector) => root.querySelector(selector));
  const [make, cancel, doing] = [".make", ".cancel", ".doing"].map((selector) => bar.querySelector(selector));
  const live = bar.querySelector("input[type=checkbox]");
  const rest = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
  const fieldOf = (path) => root.querySelector(`[data-path="${path}"] input:not([type=range])`);

  /** When a condition is true, as a frame sees it. */
  const until = (condition) => new Promise((resolve) => {
    const look = () => (condition() ? resolve(performance.now()) : requestAnimationFrame(look));
    look();
  });

  async function timed(act, condition) {
    const began = performance.now();
    act();
    return (await until(condition) - began) / 1000;
  }

  /** Addresses of finished pictures that are in view and loaded, large. */
  const inView = () => [...stage.querySelectorAll("img")]
    .filter((image) => image.complete && image.naturalWidth && image.getClientRects().length)
    .map((image) => image.src).filter((address) => /\/images\/[^/]*$/.test(address));

  const seen = new Set();
  function shown(act) {
    inView().forEach((address) => seen.add(address));
    return timed(act, () => inView().some((address) => !seen.has(address)));
  }

  function turn(path, value) {
    const field = fieldOf(path);
    field.value = value;
    for (const kind of ["input", "change"]) field.dispatchEvent(new Event(kind, { bubbles: true }));
  }

  /** How many steps are done as soon as there are so many, and when that was. */
  async function stepped(least) {
    let step = 0;
    const now = await until(() => (step = Number(/step (\d+) of/.exec(doing.textContent)?.[1] ?? 0)) >= least);
    return [step, now];
  }

  let [lifted, outlined] = [0, 0];
  root.addEventListener("pointerup", () => { [lifted, outlined] = [performance.now(), 0]; }, true);
  new MutationObserver(() => requestAnimationFrame(() => { outlined ||= performance.now(); }))
    .observe(root.querySelector(".paint-outlines svg"), { childList: true });

  return {
    turn,
    fieldOf,
    make: () => shown(() => make.click()),
    turned: (path, value) => shown(() => turn(path, value)),
    setLive: (isLive) => { if (live.checked !== isLive) live.click(); },
    isIdle: () => cancel.disabled,

    /** Let each Make draw a seed. */
    async drawSeeds() {
      const lock = root.querySelector('[data-path="seed"] [aria-pressed]');
      if (lock.getAttribute("aria-pressed") === "true") lock.click();
      await until(() => lock.getAttribute("aria-pressed") === "false");
    },

    /** From the end of a stroke to the outline; it may be there already. */
    async outline() {
      await until(() => lifted && outlined);
      const seconds = (outlined - lifted) / 1000;
      lifted = 0;
      return seconds;
    },

    /** Of one that is cancelled while it is made: what its steps take, and from the click to the word. */
    async cancelled() {
      make.click();
      const [first, began] = await stepped(3);
      const [last, ended] = await stepped(first + 10);
      const step = (ended - began) / (last - first) / 1000;
      return [step, await timed(() => cancel.click(), () => doing.textContent.includes("cancelled"))];
    },

    async makeSeveral(number) {
      bar.querySelector("select").value = String(number);
      await timed(() => make.click(), () => !cancel.disabled);
      await until(() => cancel.disabled);
    },

    /** Scroll through the history and back; the longest task in milliseconds, 0 if none took 50, and how many heights of the list it went. */
    async scrolled() {
      const long = [];
      const observer = new PerformanceObserver((found) => long.push(...found.getEntries()));
      list.scrollIntoView({ block: "end" });
      await rest(500);
      observer.observe({ type: "longtask" });
      const heights = list.scrollHeight / list.clientHeight;
      for (let frame = 0; frame <= 240; frame += 1) {
        list.scrollTop = list.scrollHeight * (1 - Math.abs(1 - frame / 120));
        await new Promise(requestAnimationFrame);
      }
      await rest(300);
      return [Math.max(0, ...[...long, ...observer.takeRecords()].map(({ duration }) => duration)), heights];
    },
  };
})();

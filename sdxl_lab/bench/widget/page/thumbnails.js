// The small pictures of the history: the kernel draws, and the page loads, only what is in view.

const TOGETHER_MS = 40;  // what comes into view within it is asked for at once
const AROUND = "200px";  // of the list counts as in view

/** Follows what is in view of a list, whose items are found by number. */
export function thumbnailsOf(hub, items, list) {
  const inView = new Set();
  const asked = new Set();
  let waiting = null;
  const observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const number = Number(target.dataset.number);
      inView[isIntersecting ? "add" : "delete"](number);
      if (isIntersecting) show(items.get(number));
    }
  }, { root: list, rootMargin: AROUND });

  function show(item) {
    if (!item?.entry || !inView.has(item.number) || item.source === item.entry.sha256) return;
    if (item.entry.thumbnail) load(item);
    else waiting ??= setTimeout(ask, TOGETHER_MS);
  }

  async function load(item) {
    item.source = item.entry.sha256;
    try {
      item.image.src = await hub.urlOf(item.entry.thumbnail);
    } catch {
      item.source = null;
    }
  }

  async function ask() {
    waiting = null;
    const numbers = [...inView].filter((number) => items.has(number) && !items.get(number).entry.thumbnail && !asked.has(number));
    if (!numbers.length) return;
    numbers.forEach((number) => asked.add(number));
    await hub.do("thumbnails", { numbers }).catch(() => {});
    numbers.forEach((number) => asked.delete(number));
  }

  return {
    show,
    watch: ({ node }) => observer.observe(node),
    forget(item) {
      if (!item) return;
      observer.unobserve(item.node);
      inView.delete(item.number);
    },
  };
}

// What the notebook's application around a view does for it: files under an address, files and folders opened, a new cell, saving.

const WAIT_MS = 3000;
const MOST_HELD = 100;  // pictures that came by message

/** The application, as far as it says what it is: JupyterLab and Notebook do. */
export class Frontend {
  constructor(hub) {
    this.hub = hub;
    this.config = JSON.parse(document.getElementById("jupyter-config-data")?.textContent || "null");
    this.held = new Map();
    this.arrivals = null;
  }

  /** The server's root on the kernel's disk: JupyterLab says it, and Notebook where in it the notebook lies, of which the kernel knows the path. */
  get root() {
    const { home = "~", notebook } = this.hub.state.session ?? {};
    if (this.config?.serverRoot) return this.config.serverRoot.replace(/^~(?=\/|$)/, home).replace(/\/+$/, "");
    const pages = `${this.config?.baseUrl}notebooks/`;
    const place = location.pathname.startsWith(pages) && `/${decodeURIComponent(location.pathname.slice(pages.length))}`;
    return place && notebook?.endsWith(place) ? notebook.slice(0, -place.length) : undefined;
  }

  /** Where a path of the kernel's disk lies below the server's root, or null if the server does not give it: hidden files, and what is elsewhere. */
  placeOf(path) {
    const { root } = this;
    if (root === undefined || !`${path}/`.startsWith(`${root}/`)) return null;
    const place = path.slice(root.length + 1);
    return place.split("/").some((part) => part.startsWith(".")) ? null : place;
  }

  /** The address of a file for the browser, or null if the server does not give it. */
  addressOf(path) {
    const place = this.placeOf(path);
    return place && `${this.config.baseUrl}files/${inAddress(place)}`;
  }

  /** An address of a file that the page can show: the server's, else of its bytes, which the kernel sends. */
  async urlOf(path) {
    return this.addressOf(path) ?? this.held.get(path) ?? this.hold(path);
  }

  hold(path) {
    if (!this.arrivals) {
      this.arrivals = new Map();
      this.hub.on("bytes", (value, [content]) => this.arrivals.get(value.path)?.(new Blob([content], { type: `image/${value.path.split(".").at(-1)}` })));
    }
    const arrival = new Promise((resolve) => { this.arrivals.set(path, resolve); });
    const url = this.hub.do("bytes", { path }).then(() => arrival).then((blob) => URL.createObjectURL(blob));
    this.held.set(path, url);
    url.catch(() => this.held.delete(path)).finally(() => this.arrivals.delete(path));
    if (this.held.size > MOST_HELD) {
      const [oldest, itsUrl] = this.held.entries().next().value;
      this.held.delete(oldest);
      itsUrl.then(URL.revokeObjectURL, () => {});
    }
    return url;
  }

  end() {
    for (const url of this.held.values()) url.then(URL.revokeObjectURL, () => {});
  }

  /** Open a file, or a folder, beside the notebook; elsewhere in another tab of the browser, or else its path is said. */
  open(path, { isFolder = false } = {}) {
    const place = this.placeOf(path);
    if (place === null) this.hub.say("note", path);
    else if (this.config.appName === "JupyterLab") this.command(isFolder ? "filebrowser:open-path" : "docmanager:open", { path: place });
    else window.open(isFolder ? `${this.config.baseUrl}tree/${inAddress(place)}` : this.addressOf(path), "_blank", "noopener");
  }

  /** Put a text into a new cell below the one that shows the view; false if that cannot be done here. */
  async insertCell(text) {
    const host = this.hub.host;
    const notebook = host?.closest(".jp-Notebook");
    if (!this.config || !notebook) return false;
    const active = () => notebook.querySelector(".jp-Cell.jp-mod-active");
    const written = () => active()?.querySelector(".cm-content");
    // The focus makes the view's own cell the active one, wherever somebody clicked last.
    host.tabIndex = -1;
    host.focus({ preventScroll: true });
    const own = host.closest(".jp-Cell");
    if (!(await happens(() => active() === own))) return false;
    this.command("notebook:insert-cell-below");
    // Its editor comes later than the cell.
    if (!(await happens(() => active() !== own && written()))) return false;
    this.command("notebook:replace-selection", { text });
    const [line] = text.split("\n");
    return happens(() => written()?.textContent.startsWith(line));
  }

  /** Save the notebook. */
  save() {
    if (this.config) this.command("docmanager:save");
  }

  /** Run a command of the application as its own pages' links do, which work only outside of shadow roots. */
  command(name, values = {}) {
    const link = document.createElement("button");
    link.hidden = true;
    link.dataset.commandlinkerCommand = name;
    link.dataset.commandlinkerArgs = JSON.stringify(values);
    (this.hub.host ?? document.body).append(link);
    link.click();
    link.remove();
  }
}

const inAddress = (place) => place.split("/").map(encodeURIComponent).join("/");

/** Whether something becomes true soon. */
async function happens(condition) {
  const until = performance.now() + WAIT_MS;
  while (!condition()) {
    if (performance.now() > until) return false;
    await new Promise((resolve) => { setTimeout(resolve, 20); });
  }
  return true;
}

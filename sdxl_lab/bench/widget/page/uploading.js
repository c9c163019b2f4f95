// Pictures and masks that come from outside: opened from a file, dropped, pasted.

import { element } from "./elements.js";

const PART_BYTES = 1 << 20;  // a message of more than ten megabytes would close the connection

/** Bring a file to the kernel, to be opened as an `image` or a `mask`; `told` is told how far it is, 0 to 1. */
export async function upload(hub, file, role, told = () => {}) {
  const name = `${hub.view}-${Math.random().toString(36).slice(2)}`;
  const parts = Math.max(1, Math.ceil(file.size / PART_BYTES));
  for (let part = 0; part < parts; part += 1) {
    told(part / parts);
    const content = await file.slice(part * PART_BYTES, (part + 1) * PART_BYTES).arrayBuffer();
    await hub.do("open", { upload: name, part, parts, name: file.name || "pasted.png", role }, [content], { says: false });
  }
  told(1);
}

/** Let files be dropped on a node, pasted anywhere in the view, and chosen; returns buttons, and what lies over the node meanwhile. */
export function uploading(hub, node) {
  const doing = element("p", { class: "paint-doing", role: "status" });
  const open = async (file, role) => {
    if (!file) return;
    try {
      await upload(hub, file, role, (share) => { doing.textContent = share < 1 ? `Opening ${file.name || "what was pasted"}: ${Math.floor(100 * share)}%` : ""; });
    } catch (error) {
      doing.textContent = "";
      hub.say("error", error.message);
    }
  };
  const zones = dropZones(hub, node, open);
  const asking = pasting(hub, open);
  return { openImage: chooser("image", open), openMask: chooser("mask", open), overlays: [zones, asking], doing };
}

/** A button that lets somebody choose a file. */
function chooser(role, open) {
  const text = role === "image" ? "Open picture…" : "Open mask…";
  const title = role === "image" ? "Open a picture; it can be dropped here or pasted, too" : "Open a mask of this picture: white is repainted";
  const field = element("input", { type: "file", accept: "image/*,.tif,.tiff,.ppm,.pgm", hidden: true, tabindex: -1, "aria-label": text });
  const button = element("button", { type: "button", title }, text, field);
  field.addEventListener("click", (event) => event.stopPropagation());
  field.addEventListener("change", () => {
    open(field.files[0], role);
    field.value = "";
  });
  button.addEventListener("click", () => field.click());
  return button;
}

const fileIn = (data) => [...(data?.files ?? [])].find(({ type, name }) => type.startsWith("image/") || /\.(png|jpe?g|webp|tiff?|bmp|gif|p[pgn]m)$/i.test(name));

const LEFT_MS = 1500;  // while something hovers, it is told several times a second; where it went, not always

/** Where a file can be dropped, shown while one hovers over the node: as a mask only if there is a picture. */
function dropZones(hub, node, open) {
  const zones = ["image", "mask"].map((role) => element("div", { class: "paint-zone" }, role === "image" ? "Drop as the picture" : "Drop as its mask"));
  const overlay = element("div", { class: "paint-zones", hidden: true }, ...zones);
  let leaving = 0;
  const clear = () => {
    clearTimeout(leaving);
    overlay.hidden = true;
    for (const zone of zones) zone.classList.remove("over");
  };
  const zoneAt = (event) => (!zones[1].hidden && event.composedPath().includes(zones[1]) ? 1 : 0);
  node.addEventListener("dragover", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    event.stopPropagation();
    event.dataTransfer.dropEffect = "copy";
    overlay.hidden = false;
    clearTimeout(leaving);
    leaving = setTimeout(clear, LEFT_MS);
    zones[1].hidden = !hub.state.opened?.has_image;
    zones.forEach((zone, index) => zone.classList.toggle("over", index === zoneAt(event)));
  });
  node.addEventListener("dragleave", (event) => { if (!node.contains(event.relatedTarget)) clear(); });
  node.addEventListener("drop", (event) => {
    if (overlay.hidden) return;
    event.preventDefault();
    event.stopPropagation();
    const file = fileIn(event.dataTransfer);
    if (file) open(file, ["image", "mask"][zoneAt(event)]);
    else hub.say("error", "What was dropped is no picture that can be opened; save it as PNG, JPEG or WebP, and drop that.");
    clear();
  });
  return overlay;
}

/** What is pasted is the picture; where there is one, whoever pastes says whether it is its mask. */
function pasting(hub, open) {
  const [image, mask, cancel] = ["Picture", "Mask", "Cancel"].map((text) => element("button", { type: "button" }, text));
  const dialog = element("div", { class: "paint-asking", role: "dialog", "aria-label": "What was pasted", hidden: true }, "Open what was pasted as", image, mask, cancel);
  let pasted = null;
  let before = null;
  const end = (role) => {
    if (role) open(pasted, role);
    pasted = null;
    dialog.hidden = true;
    before?.focus?.();
  };
  image.addEventListener("click", () => end("image"));
  mask.addEventListener("click", () => end("mask"));
  cancel.addEventListener("click", () => end(null));
  dialog.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    end(null);
  });
  hub.root.addEventListener("paste", (event) => {
    const file = fileIn(event.clipboardData);
    if (!file) return;
    event.preventDefault();
    event.stopPropagation();
    if (!hub.state.opened?.has_image) {
      open(file, "image");
      return;
    }
    hub.show("paint");
    before = hub.root.getRootNode().activeElement;
    pasted = file;
    dialog.hidden = false;
    image.focus();
  });
  return dialog;
}

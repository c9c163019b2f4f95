// What hands do on a frame: mouse, pen and fingers, and the keys of somebody who paints without them.

import { MOST_ZOOM, PAN } from "./looking.js";
import { pointAt } from "./place.js";

const PEN_ERASER = 32;  // of a pointer event's buttons

/**
 * Let a frame be painted on. `place()` says where the picture lies, and `hand` is what paints: `press(point, isTurned)`, `move(points)`, `lift()`,
 * `drop()`, all in pixels of the picture, `isPressed`, `step`, and `hover(point)` with null where nobody points.
 */
export function handsOn(frame, hub, place, hand) {
  const fingers = new Map();
  const keys = keysOn(frame, hub, place, hand);
  let panned = null;

  frame.addEventListener("pointerdown", (event) => {
    event.stopPropagation();
    keys.rest();
    if (event.pointerType === "touch") fingers.set(event.pointerId, event);
    if (fingers.size > 1) {
      if (hand.isPressed) hand.drop();
      panned = null;
      return;
    }
    const isPan = event.button === 1 || (event.button === 0 && keys.spaceIsDown);
    const isEraser = Boolean(event.buttons & PEN_ERASER);
    if (!isPan && event.button !== 0 && !isEraser) return;
    event.preventDefault();
    keys.rest();  // or the first move would lift what it presses
    keys.focus();
    frame.setPointerCapture(event.pointerId);
    if (isPan) panned = event;
    else hand.press(pointAt(place(), event), isEraser || event.altKey);
  });

  frame.addEventListener("pointermove", (event) => {
    event.stopPropagation();
    if (fingers.size > 1 && fingers.has(event.pointerId)) {
      pinch(hub, place, fingers, event);
      return;
    }
    const now = place();
    if (panned) {
      pan(hub, now, event.clientX - panned.clientX, event.clientY - panned.clientY);
      panned = event;
    } else if (hand.isPressed && frame.hasPointerCapture(event.pointerId)) {
      const all = event.getCoalescedEvents?.() ?? [];
      hand.move((all.length ? all : [event]).map((one) => pointAt(now, one)));
    }
    if (event.pointerType !== "touch") {
      keys.rest();
      hand.hover(pointAt(now, event));
    }
  });

  const end = (event, isLost) => {
    event.stopPropagation();
    fingers.delete(event.pointerId);
    if (panned?.pointerId === event.pointerId) panned = null;
    else if (hand.isPressed && frame.hasPointerCapture(event.pointerId)) hand[isLost ? "drop" : "lift"]();
  };
  frame.addEventListener("pointerup", (event) => end(event, false));
  frame.addEventListener("pointercancel", (event) => end(event, true));
  frame.addEventListener("pointerleave", () => hand.hover(null));
  frame.addEventListener("wheel", (event) => {
    event.preventDefault();
    event.stopPropagation();
    const turned = event.deltaY * (event.deltaMode ? 33 : 1);  // some browsers count lines
    zoomAt(hub, place(), 2 ** (-turned / (event.ctrlKey ? 60 : 240)), event);
  }, { passive: false });
  frame.addEventListener("contextmenu", (event) => { if (hand.isPressed) event.preventDefault(); });
}

/** Move what is shown by so much of the screen. */
function pan(hub, place, across, down) {
  const [x, y] = middleIn(hub, place);
  const { width, height } = hub.state.opened;
  hub.looking.show({ x: x - across / place.scale / width, y: y - down / place.scale / height });
}

/** Zoom by a factor, so that what is shown at a place of the screen stays there. */
function zoomAt(hub, place, factor, { clientX, clientY }) {
  const { box, scale } = place;
  const before = hub.looking.view.zoom;
  const zoom = Math.min(MOST_ZOOM, Math.max(1, before * factor));
  const [x, y] = middleIn(hub, place);
  const { width, height } = hub.state.opened;
  const [across, down] = [clientX - box.left - box.width / 2, clientY - box.top - box.height / 2].map((length) => (length / scale) * (1 - before / zoom));
  hub.looking.show({ zoom, x: x + across / width, y: y + down / height });
}

/** What of the picture lies in the frame's middle, 0 to 1 across and down: where that ends, it is not what was asked for. */
function middleIn(hub, { box, scale, left, top }) {
  const { width, height } = hub.state.opened;
  return [(box.width / 2 - left) / scale / width, (box.height / 2 - top) / scale / height];
}

/** Two fingers zoom and move what lies below them. */
function pinch(hub, place, fingers, event) {
  const [one, other] = [...fingers.values()];
  const still = event.pointerId === one.pointerId ? other : one;
  const last = fingers.get(event.pointerId);
  fingers.set(event.pointerId, event);
  const apart = ({ clientX, clientY }) => Math.max(1, Math.hypot(clientX - still.clientX, clientY - still.clientY));
  zoomAt(hub, place(), apart(event) / apart(last), { clientX: (last.clientX + still.clientX) / 2, clientY: (last.clientY + still.clientY) / 2 });
  pan(hub, place(), (event.clientX - last.clientX) / 2, (event.clientY - last.clientY) / 2);
}

/** Arrows move a point, Space paints while it is held, Enter lowers and lifts the brush; with a mouse on the frame, Space lets it move the picture. */
function keysOn(frame, hub, place, hand) {
  let point = null;  // where keys paint; null while a pointer does
  let byPointer = false;
  const keys = {
    spaceIsDown: false,
    focus() {
      byPointer = true;
      frame.focus({ preventScroll: true });
      byPointer = false;
    },
    rest() {
      if (point && hand.isPressed) hand.lift();
      point = null;
      frame.classList.remove("by-keys");
    },
  };
  const wake = () => {
    const { box, scale, left, top } = place();
    point = [(box.width / 2 - left) / scale, (box.height / 2 - top) / scale].map((length) => Math.floor(length) + 0.5);
    frame.classList.add("by-keys");
    hand.hover(point);
  };
  const go = ([across, down], length) => {
    const { width, height } = hub.state.opened;
    point = [Math.min(Math.max(point[0] + across * length, 0), width), Math.min(Math.max(point[1] + down * length, 0), height)];
    if (hand.isPressed) hand.move([point]);
    hand.hover(point);
    showPoint(hub, place(), point);
  };
  frame.addEventListener("focus", () => { if (!byPointer && frame.matches(":focus-visible")) wake(); });
  frame.addEventListener("blur", () => {
    keys.rest();
    keys.spaceIsDown = false;
    hand.hover(null);
  });
  frame.addEventListener("keydown", (event) => {
    if (event.metaKey || event.altKey || event.shiftKey) return;
    if (event.key in PAN) {
      if (!point) wake();
      go(PAN[event.key], event.ctrlKey ? 1 : hand.step);
    } else if (event.key === " " && !point) keys.spaceIsDown = true;
    else if (event.key === " " || (event.key === "Enter" && !event.ctrlKey)) {
      if (!point) wake();
      if (!hand.isPressed) hand.press(point, false);
      else if (event.key === "Enter" && !event.repeat) hand.lift();
    } else return;
    event.preventDefault();
  });
  frame.addEventListener("keyup", (event) => {
    if (event.key !== " ") return;
    keys.spaceIsDown = false;
    if (point && hand.isPressed) hand.lift();
  });
  return keys;
}

/** Move what is shown so far that a point is in view. */
function showPoint(hub, place, [x, y]) {
  const { box, scale, left, top } = place;
  const beyond = (place, length) => Math.max(0, place - length + 8) + Math.min(0, place - 8);
  const [across, down] = [beyond(left + x * scale, box.width), beyond(top + y * scale, box.height)];
  if (across || down) pan(hub, place, -across, -down);
}

// Canvases that show one place of several images: zoom and pan are shared by all that hang on one view.
"use strict";

class LinkedView {
  constructor(redraw) { this.redraw = redraw; this.canvases = []; this.reset(); }

  reset() { this.zoom = 1; this.x = 0.5; this.y = 0.5; this.changed(); }

  // zoom by a factor, keeping the point (fractions of the panel) under the pointer in its place
  zoomBy(factor, left = 0.5, top = 0.5) {
    const before = this.zoom;
    this.zoom = Math.min(16, Math.max(1, this.zoom * factor));
    this.x += (left - 0.5) * (1 / before - 1 / this.zoom);
    this.y += (top - 0.5) * (1 / before - 1 / this.zoom);
    this.changed();
  }

  panBy(left, top) { this.x -= left / this.zoom; this.y -= top / this.zoom; this.changed(); }

  changed() {
    const half = 0.5 / this.zoom;
    this.x = Math.min(1 - half, Math.max(half, this.x));
    this.y = Math.min(1 - half, Math.max(half, this.y));
    for (const canvas of this.canvases) canvas.classList.toggle("zoomed", this.zoom > 1);
    this.redraw();
  }

  // paint(context, side) draws an image whose longer side is `side` pixels, in its own pixels, and then what lies on it
  draw(canvas, width, height, paint, overlay) {
    const density = Math.min(window.devicePixelRatio || 1, 2), size = Math.round(canvas.clientWidth * density);
    if (canvas.width !== size) { canvas.width = size; canvas.height = size; }
    const context = canvas.getContext("2d"), side = Math.max(width, height), scale = size * this.zoom / side;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, size, size);
    const place = () => context.setTransform(scale, 0, 0, scale,
      size * (0.5 - this.x * this.zoom) + scale * (side - width) / 2, size * (0.5 - this.y * this.zoom) + scale * (side - height) / 2);
    place();
    context.imageSmoothingEnabled = scale < 2;
    paint(context, { size, scale, place });
    if (overlay) { place(); overlay(context, { size, scale, place }); }
    context.setTransform(1, 0, 0, 1, 0, 0);
  }

  // image pixel under a point of the panel (fractions), or null outside
  pixel(left, top, width, height) {
    const side = Math.max(width, height);
    const column = Math.floor((this.x + (left - 0.5) / this.zoom) * side - (side - width) / 2);
    const row = Math.floor((this.y + (top - 0.5) / this.zoom) * side - (side - height) / 2);
    return column >= 0 && row >= 0 && column < width && row < height ? { column, row } : null;
  }

  // mouse, pen and touch; grab(left) may claim a drag for itself and returns what to do with each move
  attach(canvas, { grab = () => null, hover = () => {} } = {}) {
    this.canvases.push(canvas);
    const pointers = new Map();
    let claimed = null;
    const fraction = event => {
      const box = canvas.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    };
    canvas.addEventListener("pointerdown", event => {
      canvas.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, fraction(event));
      claimed = pointers.size === 1 ? grab(fraction(event)[0]) : null;
      if (claimed) claimed(fraction(event)[0]);
    });
    canvas.addEventListener("pointermove", event => {
      const now = fraction(event), before = pointers.get(event.pointerId);
      hover(now);
      if (!before) return;
      if (claimed) claimed(now[0]);
      else if (pointers.size === 2) {
        const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
        const apart = point => Math.max(0.02, Math.hypot(point[0] - other[0], point[1] - other[1]));
        this.zoomBy(apart(now) / apart(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
      } else this.panBy(now[0] - before[0], now[1] - before[1]);
      pointers.set(event.pointerId, now);
    });
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, event => { pointers.delete(event.pointerId); claimed = null; });
    canvas.addEventListener("pointerleave", () => hover(null));
    canvas.addEventListener("dblclick", event => this.zoom > 1 ? this.reset() : this.zoomBy(3, ...fraction(event)));
    // the wheel scrolls the page until a panel was clicked, or Ctrl is held, as on maps inside a page
    canvas.addEventListener("wheel", event => {
      if (!event.ctrlKey && !canvas.closest("[data-panels]").contains(document.activeElement)) return;
      event.preventDefault();
      this.zoomBy(Math.exp(-event.deltaY / 300), ...fraction(event));
    }, { passive: false });
  }
}

async function decoded(text, mime) {
  const image = new Image();
  image.src = `data:${mime};base64,${text}`;
  await image.decode();
  return image;
}

function greyOf(image) {
  const canvas = document.createElement("canvas");
  canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const colours = context.getImageData(0, 0, canvas.width, canvas.height).data;
  return Uint8Array.from({ length: canvas.width * canvas.height }, (_, place) => colours[4 * place]);
}

function pageData(id) { return JSON.parse(document.getElementById(id).textContent); }

function typing(event) {  // keys that a field needs for itself
  const field = event.target.closest?.("input:not([type=checkbox]):not([type=radio]), select, textarea, dialog");
  return Boolean(field) || event.ctrlKey || event.metaKey || event.altKey;
}

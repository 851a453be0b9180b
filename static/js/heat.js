/** Pictures of numbers, a pixel each, in the inks of the page; to be drawn larger without smoothing. */

const dark = matchMedia("(prefers-color-scheme: dark)");
const known = new Map(); // to ask for a style costs more than to draw
dark.addEventListener("change", () => known.clear());

function rgb(name) {
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  const pen = canvas.getContext("2d");
  for (const ink of ["--sheet", name]) {
    pen.fillStyle = colour(ink);
    pen.fillRect(0, 0, 1, 1);
  }
  return pen.getImageData(0, 0, 1, 1).data;
}

/** A colour of the page by its name. */
export function colour(name) {
  if (!known.has(name)) known.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
  return known.get(name);
}

/** The inks of this moment: of the ground, of more, of less, and of what may not be seen. */
export function inks() {
  return { ground: rgb("--well"), more: rgb("--accent"), less: rgb("--surprise"), none: rgb("--paper") };
}

/**
 * A canvas of `columns` by `rows` pixels. `share(i)` of the i-th number is between -1 and 1, NaN for what may not be seen.
 */
export function picture(rows, columns, share, { ground, more, less, none }) {
  const canvas = Object.assign(document.createElement("canvas"), { width: columns, height: rows });
  const pen = canvas.getContext("2d");
  const image = pen.createImageData(columns, rows);
  for (let i = 0; i < rows * columns; i += 1) {
    const part = share(i);
    const [ink, amount] = Number.isNaN(part) ? [none, 1] : [part < 0 ? less : more, Math.abs(part)];
    for (let c = 0; c < 3; c += 1) image.data[4 * i + c] = ground[c] + (ink[c] - ground[c]) * amount;
    image.data[4 * i + 3] = 255;
  }
  pen.putImageData(image, 0, 0);
  return canvas;
}

/** Make `canvas` that large in the page, sharp on its screen, and hand out a pen for page pixels. */
export function penOf(canvas, width, height) {
  const ratio = window.devicePixelRatio;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  pen.imageSmoothingEnabled = false;
  return pen;
}

/** Call `draw` where the room of `box` changes, and where light turns to dark. */
export function redrawing(box, draw) {
  new ResizeObserver(draw).observe(box);
  dark.addEventListener("change", draw);
}

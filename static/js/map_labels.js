/** Which points of a plane get a label, so that no label lies upon another: the first ones first. */

const CHARACTER = 7.4; // pixels, at the size that labels have
const HEIGHT = 15;
const ABOVE = 12; // of a label's middle over its point

/**
 * The places in `points` of those whose labels fit. A point is {x, y, label}; `toPixels` makes [x, y] pixels of it; those of
 * `always` are labelled whatever is in the way.
 */
export function fitting(points, toPixels, { width, height, always = new Set() }) {
  const taken = [];
  const chosen = new Set();
  const order = [...points.keys()].sort((one, other) => always.has(other) - always.has(one) || one - other);
  for (const i of order) {
    const [x, y] = toPixels(points[i]);
    if (x < 0 || y < 0 || x > width || y > height) continue;
    const half = (points[i].label.length * CHARACTER) / 2 + 2;
    const box = { left: x - half, right: x + half, top: y - ABOVE - HEIGHT / 2, bottom: y - ABOVE + HEIGHT / 2 };
    const isFree = !taken.some((one) => one.left < box.right && box.left < one.right && one.top < box.bottom && box.top < one.bottom);
    if (!isFree && !always.has(i)) continue;
    taken.push(box);
    chosen.add(i);
  }
  return chosen;
}

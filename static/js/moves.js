/** Where a key leads among cells in rows and columns. */

const STEPS = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0], PageDown: [8, 0], PageUp: [-8, 0] };

/** The cell that `key` leads to from `cell`, held within the bounds; null for a key that leads nowhere. */
export function moved(key, cell, rows, columns) {
  if (key === "Home") return { row: cell.row, column: 0 };
  if (key === "End") return { row: cell.row, column: columns - 1 };
  if (!(key in STEPS)) return null;
  const [down, right] = STEPS[key];
  return { row: within(cell.row + down, rows), column: within(cell.column + right, columns) };
}

function within(place, count) {
  return Math.max(0, Math.min(count - 1, place));
}

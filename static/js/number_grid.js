/** A table of numbers of any size: what is in sight are elements, the rest is but room to scroll. Arrow keys move in it. */

import { h } from "./dom.js";
import { moved } from "./moves.js";

const ROW = 26; // pixels, as in numbers.css
const WIDE = { names: 116, column: 80 };
const NARROW = { names: 84, column: 68 }; // where the grid is less than so wide:
const NARROW_BELOW = 420;

export function short(value) {
  if (value === -Infinity) return "−∞";
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size < 0.0005) return "0.000";
  return (size < 100 ? value.toFixed(3) : size < 1000 ? value.toFixed(2) : size < 1e6 ? value.toFixed(0) : value.toExponential(2)).replace("-", "−");
}

/** All that a float32 knows. */
export function exact(value) {
  return Number.isFinite(value) ? String(Number(value.toPrecision(9))).replace("-", "−") : short(value);
}

export class NumberGrid {
  /** `box` is an empty element with an id; `label` names the table to who cannot see it. */
  constructor(box, label) {
    this.cell = { row: 0, column: 0 };
    this.sheet = h("div", { class: "numgrid__sheet", role: "presentation" });
    this.room = h("div", { class: "numgrid__room", role: "presentation" }, this.sheet);
    this.grid = h("div", { class: "numgrid", role: "grid", tabindex: "0", id: `${box.id}-cells`, "aria-label": label }, this.room);
    this.told = h("p", { class: "note numgrid__told" });
    this.size = h("span", { class: "note" });
    box.replaceChildren(h("p", { class: "grid-box__name" }, label, " ", this.size), this.grid, this.told);
    this.grid.addEventListener("scroll", () => this.#soon(), { passive: true });
    this.grid.addEventListener("keydown", (event) => this.#move(event));
    this.grid.addEventListener("focus", () => this.#go(this.cell));
    for (const type of ["pointerover", "click"]) this.grid.addEventListener(type, (event) => this.#point(event));
    new ResizeObserver(() => this.#soon()).observe(this.grid);
  }

  /**
   * `table` has the names of its `rows` and `columns`, and `value(row, column)`; `share(row, column, value)` says how
   * darkly a cell is washed, from -1 to 1; `lit` are rows that stand out. The place in it is kept where there still is one;
   * `at` is a row to have in sight.
   */
  show(table, { at = null } = {}) {
    const [rows, columns] = [table.rows.length, table.columns.length];
    if (rows !== this.table?.rows.length || columns !== this.table?.columns.length) this.sight = null;
    this.table = table;
    this.cell = { row: Math.min(this.cell.row, rows - 1), column: Math.min(this.cell.column, columns - 1) };
    this.room.style.height = `${(rows + 1) * ROW}px`;
    this.grid.setAttribute("aria-rowcount", rows + 1);
    this.grid.setAttribute("aria-colcount", columns + 1);
    this.size.textContent = `${rows} × ${columns}`;
    this.told.textContent = "";
    if (at === null) this.#draw();
    else this.reveal(at);
  }

  /** Scroll so that this row, and this column if one is given, are in sight. */
  reveal(row, column = null) {
    if (!this.table || !this.#look()) return;
    const { grid, sight } = this;
    const to = (place, first, shown) => (place < first ? place : place >= first + shown ? place - shown + 1 : first);
    const [top, left] = [to(row, sight.top, sight.high), column === null ? sight.left : to(column, sight.left, sight.wide)];
    const isElsewhere = top !== sight.top || left !== sight.left;
    Object.assign(sight, { top, left });
    this.#draw();
    if (!isElsewhere) return;
    const [below, beside] = [this.table.rows.length - sight.high, this.table.columns.length - sight.wide];
    requestAnimationFrame(() => {
      // Several grids move at once: their bars follow together, as each costs a layout.
      if (below) grid.scrollTop = (top / below) * (grid.scrollHeight - grid.clientHeight);
      if (beside) grid.scrollLeft = (left / beside) * (grid.scrollWidth - grid.clientWidth);
    });
  }

  clear() {
    this.table = null;
    this.sheet.replaceChildren();
    this.size.textContent = this.told.textContent = "";
    this.room.style.width = this.room.style.height = "0";
  }

  #soon() {
    this.waiting ??= requestAnimationFrame(() => {
      const before = JSON.stringify(this.sight);
      this.waiting = this.sight = null;
      if (this.table && this.#look() && JSON.stringify(this.sight) !== before) this.#draw();
    });
  }

  /**
   * What is in sight: the first row and column, and how many of each; false within something that is closed. The ends of
   * the scroll bars are the ends of the table. Kept until it is scrolled or another size: to look costs a layout.
   */
  #look() {
    if (this.sight) return true;
    const { grid, table } = this;
    if (!grid.clientWidth) return false;
    const size = grid.clientWidth < NARROW_BELOW ? NARROW : WIDE;
    const [rows, columns] = [table.rows.length, table.columns.length];
    this.room.style.width = `${size.names + columns * size.column}px`;
    const high = Math.min(rows, Math.max(1, Math.ceil(grid.clientHeight / ROW) - 1));
    const wide = Math.min(columns, Math.max(1, Math.floor((grid.clientWidth - size.names) / size.column)));
    const first = (scrolled, most, places) => (most > 0 ? Math.round((scrolled / most) * places) : 0);
    const top = first(grid.scrollTop, grid.scrollHeight - grid.clientHeight, rows - high);
    const left = first(grid.scrollLeft, grid.scrollWidth - grid.clientWidth, columns - wide);
    this.sheet.style.setProperty("--names", `${size.names}px`);
    this.sheet.style.setProperty("--column", `${size.column}px`);
    this.sight = { top, left, high, wide };
    return true;
  }

  #draw() {
    if (!this.table || !this.#look()) return;
    const { grid, table, sheet } = this;
    const { top, left, high, wide } = this.sight;
    const inSight = Array.from({ length: wide }, (_, i) => left + i);
    const head = h(
      "div",
      { class: "numgrid__row numgrid__row--head", role: "row", "aria-rowindex": 1 },
      h("span", { class: "numgrid__name", role: "columnheader", "aria-colindex": 1 }, "token"),
      ...inSight.map((column) => h("span", { class: "numgrid__cell", role: "columnheader", "aria-colindex": column + 2 }, table.columns[column])),
    );
    const drawn = Array.from({ length: high }, (_, i) => this.#row(top + i, inSight));
    sheet.replaceChildren(head, ...drawn);
    grid.setAttribute("aria-activedescendant", this.#id(this.cell));
  }

  #row(row, inSight) {
    const { rows, lit = [] } = this.table;
    const name = h("span", { class: "numgrid__name", role: "rowheader", "aria-colindex": 1 }, rows[row]);
    const place = { class: `numgrid__row${lit.includes(row) ? " lit" : ""}`, role: "row", "aria-rowindex": row + 2 };
    return h("div", place, name, ...inSight.map((column) => this.#cell(row, column)));
  }

  #cell(row, column) {
    const value = this.table.value(row, column);
    const isHere = row === this.cell.row && column === this.cell.column;
    const wash = Math.min(1, Math.abs(this.table.share?.(row, column, value) ?? 0));
    const made = h(
      "span",
      {
        class: `numgrid__cell${isHere ? " here" : ""}${value < 0 ? " less" : ""}`,
        role: "gridcell",
        id: this.#id({ row, column }),
        "aria-colindex": column + 2,
        "aria-label": isHere ? `${short(value)}; ${this.#words(row, column)}` : null,
        data: { row, column },
      },
      short(value),
    );
    if (wash > 0) made.style.setProperty("--share", wash.toFixed(3));
    return made;
  }

  #id({ row, column }) {
    return `${this.grid.id}-${row}-${column}`;
  }

  #words(row, column) {
    const { rows, columns, value } = this.table;
    return `${rows[row]}, ${columns[column]}: ${exact(value(row, column))}`;
  }

  #point(event) {
    const { row, column } = event.target.closest("[data-row]")?.dataset ?? {};
    if (row === undefined) return;
    if (event.type === "click") this.#go({ row: Number(row), column: Number(column) });
    else this.told.textContent = this.#words(Number(row), Number(column));
  }

  #move(event) {
    if (!this.table) return;
    const to = moved(event.key, this.cell, this.table.rows.length, this.table.columns.length);
    if (!to) return;
    event.preventDefault();
    this.#go(to);
  }

  #go(cell) {
    if (!this.table) return;
    this.cell = cell;
    this.reveal(cell.row, cell.column);
    this.told.textContent = this.#words(cell.row, cell.column);
  }
}

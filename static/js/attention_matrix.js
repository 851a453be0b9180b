/** Draws one head's matrix on a canvas, with a readout of the cell pointed at and a table of the same numbers. */

import { byId, facts, h } from "./dom.js";
import { percent } from "./format.js";
import { visible } from "./glyphs.js";

const LARGEST_CELL = 40;
const LARGEST_SIDE = 760; // so that a long text's matrix still fits a window
const SMALLEST_CELL = 3;
const CELL_WITH_LABEL = 11;
const LABEL_WIDTH = 84;
const LABEL_CHARACTERS = 9;
const GAP = 1;

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function number(value) {
  return Number.isFinite(value) ? value.toFixed(3) : "−∞";
}

function label(token) {
  const text = token.text.replaceAll(" ", "·").replaceAll("\n", "⏎").replaceAll("\t", "⇥");
  return text.length > LABEL_CHARACTERS ? `${text.slice(0, LABEL_CHARACTERS - 1)}…` : text;
}

export class AttentionMatrix {
  constructor() {
    this.canvas = byId("matrix");
    this.readout = byId("matrix-readout");
    this.details = byId("matrix-details");
    this.tokens = [];
    this.cell = { row: 0, column: 0 };
    this.canvas.addEventListener("pointermove", (event) => this.#point(event));
    this.canvas.addEventListener("pointerdown", (event) => this.#point(event));
    this.canvas.addEventListener("focus", () => this.#choose(this.cell.row, this.cell.column));
    this.canvas.addEventListener("keydown", (event) => this.#move(event));
    this.details.addEventListener("toggle", () => this.#drawTable());
    new ResizeObserver(() => this.#draw()).observe(byId("matrix-box"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
  }

  /** `stages` maps scores, masked and attention to their numbers, one row after the other. */
  show(tokens, stages, stage, title) {
    const isNew = tokens !== this.tokens;
    Object.assign(this, { tokens, stages, stage, title });
    if (isNew) this.cell = { row: tokens.length - 1, column: 0 };
    this.#draw();
    this.#drawTable();
    this.#tell();
    this.canvas.setAttribute("aria-label", `${title}: ${tokens.length} tokens by ${tokens.length}; arrow keys move`);
  }

  #draw() {
    const count = this.tokens.length;
    if (!count) return;
    const room = Math.min(byId("matrix-box").clientWidth, LARGEST_SIDE);
    const withLabels = (room - LABEL_WIDTH) / count >= CELL_WITH_LABEL;
    this.margin = withLabels ? LABEL_WIDTH : 0;
    this.size = Math.max(SMALLEST_CELL, Math.min(LARGEST_CELL, Math.floor((room - this.margin) / count)));
    const [width, ratio] = [this.margin + this.size * count, window.devicePixelRatio];
    this.canvas.width = this.canvas.height = width * ratio;
    this.canvas.style.width = this.canvas.style.height = `${width}px`;
    const pen = this.canvas.getContext("2d");
    pen.scale(ratio, ratio);
    this.#drawCells(pen, count);
    if (withLabels) this.#drawLabels(pen);
    pen.strokeStyle = colour("--ink");
    pen.lineWidth = 2;
    pen.strokeRect(this.margin + this.cell.column * this.size, this.margin + this.cell.row * this.size, this.size - GAP, this.size - GAP);
  }

  #drawCells(pen, count) {
    const values = this.stages[this.stage];
    const most = values.reduce((high, value) => (Number.isFinite(value) ? Math.max(high, Math.abs(value)) : high), 1e-9);
    const inks = { more: colour("--accent"), less: colour("--surprise"), none: colour("--line"), ground: colour("--well") };
    const side = this.size > 4 ? this.size - GAP : this.size;
    for (let i = 0; i < count * count; i += 1) {
      const [x, y] = [this.margin + (i % count) * this.size, this.margin + Math.floor(i / count) * this.size];
      const value = values[i];
      pen.globalAlpha = 1;
      pen.fillStyle = Number.isFinite(value) ? inks.ground : inks.none;
      pen.fillRect(x, y, side, side);
      if (!Number.isFinite(value)) continue;
      pen.globalAlpha = this.stage === "attention" ? Math.sqrt(value) : Math.abs(value) / most;
      pen.fillStyle = value < 0 ? inks.less : inks.more;
      pen.fillRect(x, y, side, side);
    }
    pen.globalAlpha = 1;
  }

  #drawLabels(pen) {
    pen.fillStyle = colour("--ink-soft");
    pen.font = `12px ${colour("--mono")}`;
    pen.textBaseline = "middle";
    this.tokens.forEach((token, i) => {
      const middle = this.margin + (i + 0.5) * this.size;
      pen.textAlign = "right";
      pen.fillText(label(token), this.margin - 6, middle, this.margin - 8);
      pen.save();
      pen.translate(middle, this.margin - 6);
      pen.rotate(-Math.PI / 2);
      pen.textAlign = "left";
      pen.fillText(label(token), 0, 0, this.margin - 8);
      pen.restore();
    });
  }

  #point(event) {
    if (!this.tokens.length) return;
    const box = this.canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left - this.margin) / this.size);
    const row = Math.floor((event.clientY - box.top - this.margin) / this.size);
    this.#choose(row, column);
  }

  #move(event) {
    const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
    const ends = { Home: 0, End: this.tokens.length - 1 };
    if (!step && !(event.key in ends)) return;
    event.preventDefault();
    if (step) this.#choose(this.cell.row + step[0], this.cell.column + step[1]);
    else this.#choose(this.cell.row, ends[event.key]);
  }

  #choose(row, column) {
    const last = this.tokens.length - 1;
    if (row < 0 || column < 0 || row > last || column > last) return;
    this.cell = { row, column };
    this.#draw();
    this.#tell();
  }

  #tell() {
    const { row, column } = this.cell;
    const at = row * this.tokens.length + column;
    const share = this.stages.attention[at];
    this.readout.className = "readout";
    this.readout.replaceChildren(
      h("div", { class: "readout__text" }, ...visible(this.tokens[row].text), " → ", ...visible(this.tokens[column].text)),
      facts([
        ["looks from", String(row)],
        ["to", String(column)],
        ["score", number(this.stages.scores[at])],
        ["masked", number(this.stages.masked[at])],
        ["attention", column > row ? "0, it comes later" : percent(share)],
      ]),
    );
  }

  #drawTable() {
    if (!this.details.open || !this.tokens.length) return;
    const count = this.tokens.length;
    const values = this.stages[this.stage];
    const heading = (token, scope) => h("th", { scope }, label(token));
    byId("matrix-caption").textContent = this.title;
    byId("matrix-head").replaceChildren(h("tr", {}, h("td", {}), ...this.tokens.map((token) => heading(token, "col"))));
    byId("matrix-body").replaceChildren(
      ...this.tokens.map((token, row) =>
        h("tr", {}, heading(token, "row"), ...Array.from(values.subarray(row * count, (row + 1) * count), (value) => h("td", {}, number(value)))),
      ),
    );
  }
}

/** Draws one head's matrix on a canvas, with a readout of the cell pointed at and a table of the same numbers. */

import { byId, facts, h } from "./dom.js";
import { percent } from "./format.js";
import { plain, visible } from "./glyphs.js";
import { colour, inks, penOf, picture, redrawing } from "./heat.js";
import { moved } from "./moves.js";
import { NumberGrid, short } from "./number_grid.js";

const LARGEST_CELL = 40;
const LARGEST_SIDE = 760; // so that a long text's matrix still fits a window
const SMALLEST_CELL = 2;
const CELL_WITH_LABEL = 11;
const CELL_WITH_GAP = 5;
const LABEL_WIDTH = 84;
const LABEL_CHARACTERS = 9;

export class AttentionMatrix {
  /** `onChoose(row)` is called for a row that is clicked, or that Enter is pressed in. */
  constructor(onChoose) {
    this.canvas = byId("matrix");
    this.readout = byId("matrix-readout");
    this.details = byId("matrix-details");
    this.frame = h("div", { class: "matrix__frame", hidden: true });
    this.table = new NumberGrid(byId("grid-matrix"), "The matrix as numbers");
    this.head = null;
    this.cell = { row: 0, column: 0 };
    this.onChoose = onChoose;
    byId("matrix-box").append(this.frame);
    this.canvas.addEventListener("pointermove", (event) => this.#point(event));
    this.canvas.addEventListener("click", (event) => this.#point(event) && onChoose(this.cell.row));
    this.canvas.addEventListener("focus", () => this.head && this.#choose(this.cell));
    this.canvas.addEventListener("keydown", (event) => this.#key(event));
    this.details.addEventListener("toggle", () => this.#fillTable());
    redrawing(byId("matrix-box"), () => this.#draw());
  }

  /** `stage` is one of scores, masked and attention. */
  show(head, stage, token) {
    if (head.tokens !== this.head?.tokens) this.cell = { row: token, column: 0 };
    if (head !== this.head || stage !== this.stage) this.#showAnother(head, stage);
    this.#choose({ row: token, column: this.cell.column });
  }

  #showAnother(head, stage) {
    Object.assign(this, { head, stage });
    this.title = `${stage} of layer ${head.layer}, head ${head.head}`;
    this.canvas.setAttribute("aria-label", `${this.title}: ${head.count} tokens by ${head.count}; arrow keys move, Enter looks from there`);
    this.#draw();
    this.#fillTable();
  }

  clear() {
    this.head = null;
    this.frame.hidden = true;
    penOf(this.canvas, 0, 0);
    this.canvas.setAttribute("aria-label", "Attention matrix");
    this.readout.className = "readout readout--empty";
    this.readout.replaceChildren();
    this.table.clear();
  }

  #draw() {
    if (!this.head) return;
    const { count } = this.head;
    const room = Math.min(byId("matrix-box").clientWidth, LARGEST_SIDE);
    const withLabels = (room - LABEL_WIDTH) / count >= CELL_WITH_LABEL;
    this.margin = withLabels ? LABEL_WIDTH : 0;
    this.size = Math.max(SMALLEST_CELL, Math.min(LARGEST_CELL, Math.floor((room - this.margin) / count)));
    const [side, inner] = [this.margin + this.size * count, this.size * count];
    const pen = penOf(this.canvas, side, side);
    pen.drawImage(this.#picture(), this.margin, this.margin, inner, inner);
    if (this.size >= CELL_WITH_GAP) this.#drawGaps(pen, side);
    if (withLabels) this.#drawLabels(pen);
    this.#placeFrame();
  }

  #picture() {
    const { head, stage } = this;
    const [most, { count }] = [head.most(stage), head];
    const share = (i) => {
      const [row, column] = [Math.floor(i / count), i % count];
      const value = head.between(stage, row, column);
      if (stage === "attention") return column > row ? NaN : Math.sqrt(value);
      return Number.isFinite(value) ? value / most : NaN;
    };
    return picture(count, count, share, inks());
  }

  #drawGaps(pen, side) {
    pen.fillStyle = colour("--sheet");
    for (let place = this.margin + this.size - 1; place < side; place += this.size) {
      pen.fillRect(place, this.margin, 1, side);
      pen.fillRect(this.margin, place, side, 1);
    }
  }

  #drawLabels(pen) {
    pen.fillStyle = colour("--ink-soft");
    pen.font = `12px ${colour("--mono")}`;
    pen.textBaseline = "middle";
    this.head.tokens.forEach((token, i) => {
      const [middle, text] = [this.margin + (i + 0.5) * this.size, plain(token.text, LABEL_CHARACTERS)];
      pen.textAlign = "right";
      pen.fillText(text, this.margin - 6, middle, this.margin - 8);
      pen.save();
      pen.translate(middle, this.margin - 6);
      pen.rotate(-Math.PI / 2);
      pen.textAlign = "left";
      pen.fillText(text, 0, 0, this.margin - 8);
      pen.restore();
    });
  }

  #placeFrame() {
    const { row, column } = this.cell;
    Object.assign(this.frame.style, { width: `${this.size}px`, height: `${this.size}px` });
    this.frame.style.transform = `translate(${this.margin + column * this.size}px, ${this.margin + row * this.size}px)`;
    this.frame.hidden = false;
  }

  /** Whether there is a cell under the pointer, which is then the chosen one. */
  #point(event) {
    if (!this.head) return false;
    const box = this.canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left - this.margin) / this.size);
    const row = Math.floor((event.clientY - box.top - this.margin) / this.size);
    const last = this.head.count - 1;
    if (row < 0 || column < 0 || row > last || column > last) return false;
    this.#choose({ row, column });
    return true;
  }

  #key(event) {
    if (!this.head) return;
    const to = moved(event.key, this.cell, this.head.count, this.head.count);
    if (to) this.#choose(to);
    else if (event.key === "Enter") this.onChoose(this.cell.row);
    else return;
    event.preventDefault();
  }

  #choose(cell) {
    this.cell = cell;
    this.#placeFrame();
    const { head } = this;
    const { row, column } = cell;
    this.readout.className = "readout";
    this.readout.replaceChildren(
      h("div", { class: "readout__text" }, ...visible(head.tokens[row].text), " → ", ...visible(head.tokens[column].text)),
      facts([
        ["looks from", String(row)],
        ["to", String(column)],
        ["q·k", short(head.between("products", row, column))],
        ["score", short(head.between("scores", row, column))],
        ["masked", short(head.between("masked", row, column))],
        ["attention", column > row ? "0, it comes later" : `${short(head.weight(row, column))}, ${percent(head.weight(row, column))}`],
      ]),
    );
  }

  #fillTable() {
    if (!this.details.open || !this.head) return;
    const { head, stage } = this;
    const names = head.tokens.map((token, i) => `${i} ${plain(token.text, LABEL_CHARACTERS)}`);
    const most = head.most(stage);
    const value = (row, column) => head.between(stage, row, column);
    this.table.show({ rows: names, columns: names, value, share: (_r, _c, number) => (Number.isFinite(number) ? number / most : 0) });
  }
}

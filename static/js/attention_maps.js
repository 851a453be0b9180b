/** All layers and heads as small pictures on one canvas: each a head's attention, its largest weight in each block. */

import { byId, facts, h } from "./dom.js";
import { percent } from "./format.js";
import { colour, inks, penOf, picture, redrawing } from "./heat.js";
import { moved } from "./moves.js";
import { floats } from "./tensor.js";

const LARGEST = 56;
const SMALLEST = 20;
const MARGIN = 28; // for the numbers of layers and heads
const GAP = 3;
const HABITS = { to_first: "to the first token", to_previous: "to the token before", to_itself: "to itself" };

export class AttentionMaps {
  /** `onChoose(layer, head)` is called for a head that is clicked, or that Enter is pressed on. */
  constructor(onChoose) {
    this.canvas = byId("maps");
    this.readout = byId("maps-readout");
    this.frame = h("div", { class: "matrix__frame", hidden: true });
    this.maps = null;
    this.cell = { row: 0, column: 0 };
    this.onChoose = onChoose;
    byId("maps-box").append(this.frame);
    this.canvas.addEventListener("pointermove", (event) => this.#point(event));
    this.canvas.addEventListener("click", (event) => this.#point(event) && this.#chosen());
    this.canvas.addEventListener("keydown", (event) => this.#key(event));
    for (const button of document.querySelectorAll("[data-habit]")) {
      button.addEventListener("click", () => this.#strongest(button.dataset.habit));
    }
    redrawing(byId("maps-box"), () => this.#draw());
  }

  /** `answer` is of POST /inspect, `maps` in base64. */
  show({ maps }, layer, head) {
    const [layers, heads, rows, columns] = maps.largest.shape;
    this.maps = { layers, heads, rows, columns, largest: floats(maps.largest) };
    for (const name of Object.keys(HABITS)) this.maps[name] = floats(maps[name]);
    this.at = { layer, head };
    this.#draw();
    this.canvas.setAttribute("aria-label", `${layers} layers of ${heads} heads; arrow keys move, Enter opens one`);
  }

  /** Frame this head. */
  choose(layer, head) {
    this.at = { layer, head };
    if (this.maps) this.#place();
  }

  clear() {
    this.maps = null;
    this.frame.hidden = true;
    penOf(this.canvas, 0, 0);
    this.canvas.setAttribute("aria-label", "All heads");
    this.readout.className = "readout readout--empty";
    this.readout.replaceChildren();
  }

  #draw() {
    const { maps } = this;
    if (!maps) return;
    const room = byId("maps-box").clientWidth - MARGIN;
    this.across = room / maps.layers >= 26 || maps.layers < maps.heads; // layers go right where they fit, else down
    const [rows, columns] = this.across ? [maps.heads, maps.layers] : [maps.layers, maps.heads];
    this.size = Math.max(SMALLEST, Math.min(LARGEST, Math.floor(room / columns)));
    const pen = penOf(this.canvas, MARGIN + columns * this.size, MARGIN + rows * this.size);
    this.#drawNumbers(pen, rows, columns);
    const colours = inks();
    for (let row = 0; row < rows; row += 1) {
      for (let column = 0; column < columns; column += 1) {
        const side = this.size - GAP;
        pen.drawImage(this.#picture(this.#placeOf(row, column), colours), MARGIN + column * this.size, MARGIN + row * this.size, side, side);
      }
    }
    this.#place();
  }

  #picture(place, colours) {
    const { rows, columns, largest } = this.maps;
    const first = place * rows * columns;
    // A block whose last row comes before its first column holds nothing that may be seen.
    const isLater = (i) => Math.floor(i / columns) < i % columns;
    return picture(rows, columns, (i) => (isLater(i) ? NaN : Math.sqrt(largest[first + i])), colours);
  }

  #drawNumbers(pen, rows, columns) {
    pen.fillStyle = colour("--ink-soft");
    pen.font = `11px ${colour("--mono")}`;
    pen.textBaseline = "middle";
    pen.textAlign = "center";
    const middle = (place) => MARGIN + place * this.size + (this.size - GAP) / 2;
    for (let column = 0; column < columns; column += 1) pen.fillText(String(column), middle(column), MARGIN / 2 + 4);
    for (let row = 0; row < rows; row += 1) pen.fillText(String(row), MARGIN / 2, middle(row));
  }

  #placeOf(row, column) {
    const [layer, head] = this.across ? [column, row] : [row, column];
    return layer * this.maps.heads + head;
  }

  /** Frame the head that is shown large. */
  #place() {
    const { layer, head } = this.at;
    this.#look(this.across ? { row: head, column: layer } : { row: layer, column: head });
  }

  #look(cell) {
    this.cell = cell;
    Object.assign(this.frame.style, { width: `${this.size}px`, height: `${this.size}px` });
    this.frame.style.transform = `translate(${MARGIN + cell.column * this.size - 1}px, ${MARGIN + cell.row * this.size - 1}px)`;
    this.frame.hidden = false;
    const place = this.#placeOf(cell.row, cell.column);
    const [layer, head] = [Math.floor(place / this.maps.heads), place % this.maps.heads];
    const ways = this.across ? "Layers go right, heads down." : "Layers go down, heads right.";
    this.readout.className = "readout";
    this.readout.replaceChildren(
      h("div", { class: "readout__text" }, `${layer} · ${head}`),
      facts([
        ["layer", String(layer)],
        ["head", String(head)],
        ...Object.entries(HABITS).map(([name, words]) => [words, percent(this.maps[name][place])]),
        [ways, " "],
      ]),
    );
  }

  #point(event) {
    if (!this.maps) return false;
    const box = this.canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left - MARGIN) / this.size);
    const row = Math.floor((event.clientY - box.top - MARGIN) / this.size);
    const [rows, columns] = this.#bounds();
    if (row < 0 || column < 0 || row >= rows || column >= columns) return false;
    this.#look({ row, column });
    return true;
  }

  #bounds() {
    const { layers, heads } = this.maps;
    return this.across ? [heads, layers] : [layers, heads];
  }

  #key(event) {
    if (!this.maps) return;
    const to = moved(event.key, this.cell, ...this.#bounds());
    if (to) this.#look(to);
    else if (event.key === "Enter") this.#chosen();
    else return;
    event.preventDefault();
  }

  #chosen() {
    const place = this.#placeOf(this.cell.row, this.cell.column);
    this.onChoose(Math.floor(place / this.maps.heads), place % this.maps.heads);
  }

  #strongest(habit) {
    if (!this.maps) return;
    const shares = this.maps[habit];
    const place = shares.indexOf(Math.max(...shares));
    this.onChoose(Math.floor(place / this.maps.heads), place % this.maps.heads);
  }
}

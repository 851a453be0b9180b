/** The text with arcs between its tokens: the thicker, the more one takes from the other. */

import { byId, h, scrollWithin } from "./dom.js";
import { percent } from "./format.js";
import { plain, visible } from "./glyphs.js";
import { colour, penOf, redrawing } from "./heat.js";
import { Linked } from "./linked.js";

const LEAST = { from: 0.01, to: 0.01, all: 0.1 };
const TOLD = 0.005; // a share below is no number under its word
const LIFT = 26;

export class AttentionWords {
  /** `onChoose(token)` is called for a token that is clicked, or that Enter is pressed on. */
  constructor(onChoose) {
    this.box = byId("words-box");
    this.list = byId("words");
    this.canvas = byId("arcs");
    this.note = byId("words-note");
    this.onChoose = onChoose;
    this.linked = new Linked([this.list], (i) => this.#tell(i));
    this.list.addEventListener("click", (event) => this.#choose(event));
    this.list.addEventListener("keydown", (event) => event.key === "Enter" && this.#choose(event));
    this.mode = "from";
    for (const radio of document.querySelectorAll("[name=arcs]")) {
      radio.addEventListener("change", () => {
        this.mode = radio.value;
        this.#fill();
      });
    }
    redrawing(this.box, () => {
      this.spots = null;
      this.#draw();
    });
  }

  show(head, token) {
    if (head.tokens !== this.head?.tokens) this.#list(head.tokens);
    Object.assign(this, { head, token });
    this.#fill();
    scrollWithin(this.box, this.list.children[token], LIFT);
  }

  clear() {
    this.head = null;
    this.list.replaceChildren();
    this.note.textContent = "";
    penOf(this.canvas, 0, 0);
  }

  #list(tokens) {
    this.list.replaceChildren(
      ...tokens.map((token, i) =>
        h("li", { tabindex: i ? "-1" : "0", data: { i } }, h("span", { class: "word" }, ...visible(token.text)), h("span", { class: "share" })),
      ),
    );
    this.linked.reset();
    this.spots = null;
  }

  /** What the chosen token gives the i-th, or is given by it. */
  #share(i) {
    return this.mode === "to" ? this.head.weight(i, this.token) : this.head.weight(this.token, i);
  }

  #fill() {
    if (!this.head) return;
    const isOfOne = this.mode !== "all";
    [...this.list.children].forEach((item, i) => {
      const share = isOfOne ? this.#share(i) : 0;
      const isChosen = isOfOne && i === this.token;
      const told = share >= TOLD ? `${(share * 100).toFixed(0)} %` : "";
      item.classList.toggle("chosen", isChosen);
      item.toggleAttribute("aria-current", isChosen);
      if (item.lastChild.textContent === told) return; // most are as they were, and cost nothing so
      item.lastChild.textContent = told;
      item.style.setProperty("--share", told && Math.sqrt(share).toFixed(2));
    });
    this.#tell(this.token);
    this.#draw();
  }

  #tell(i) {
    if (!this.head) return;
    const name = (place) => `“${plain(this.head.tokens[place].text, 24)}”`;
    if (this.mode === "all") this.note.textContent = `${name(i)} gives itself ${percent(this.head.weight(i, i))}.`;
    else if (this.mode === "to") this.note.textContent = `${name(i)} takes ${percent(this.#share(i))} from ${name(this.token)}.`;
    else this.note.textContent = `${name(this.token)} takes ${percent(this.#share(i))} from ${name(i)}.`;
  }

  #choose(event) {
    const item = event.target.closest("[data-i]");
    if (item) this.onChoose(Number(item.dataset.i));
  }

  #draw() {
    if (!this.head) return;
    this.spots ??= {
      wide: this.list.offsetWidth,
      high: this.list.offsetHeight,
      tops: [...this.list.children].map((item) => ({ x: item.offsetLeft + item.offsetWidth / 2, y: item.offsetTop })),
    }; // kept, as to look for them costs a layout
    const { wide, high, tops } = this.spots;
    const pen = penOf(this.canvas, wide, high);
    pen.strokeStyle = colour("--accent");
    pen.lineCap = "round";
    for (const [from, to, share] of this.#arcs()) {
      const [a, b] = [tops[from], tops[to]];
      const lift = Math.min(LIFT, 8 + Math.abs(a.x - b.x) / 6);
      pen.globalAlpha = 0.2 + 0.75 * share;
      pen.lineWidth = 1 + 6 * share;
      pen.beginPath();
      pen.moveTo(a.x, a.y);
      pen.bezierCurveTo(a.x, a.y - lift, b.x, b.y - lift, b.x, b.y);
      pen.stroke();
    }
  }

  /** Pairs of different tokens whose share is worth an arc: the one that looks, the one looked at, the share. */
  *#arcs() {
    const { count } = this.head;
    const rows = this.mode === "from" ? [this.token] : Array.from({ length: count }, (_, i) => i);
    for (const row of rows) {
      const columns = this.mode === "to" ? [this.token] : Array.from({ length: row }, (_, i) => i);
      for (const column of columns) {
        const share = column < row ? this.head.weight(row, column) : 0;
        if (share >= LEAST[this.mode]) yield [row, column, share];
      }
    }
  }
}

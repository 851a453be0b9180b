/** The tokens of a text as coloured chips, and their ids beside them; what is lit in one list is lit in the other. */

import { h } from "./dom.js";
import { visible } from "./glyphs.js";
import { RowsInSight } from "./rows_in_sight.js";
import { linesOf } from "./token_lines.js";
import { chip, groupsOf, idItem, split } from "./token_view.js";

const LINE = 36; // pixels, as in text_tokens.css
const CUT = 16; // more, where a character was cut into tokens and its bytes stand under it
const ID_LINE = 28;
const ID_WIDTH = 66;
const JUMP = 50;
const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, PageDown: JUMP, PageUp: -JUMP };

export class TokenLists {
  /**
   * `chips`, and `ids` where there is such a list, are empty listboxes with an id. `onLight(i)` is called for each newly
   * lit token, `onChoose(i)` for one that is clicked or that Enter is pressed on; `dress(element, i)` may adorn a chip, in a
   * line of `line` pixels.
   */
  constructor(chips, ids, { onLight = () => {}, onChoose = () => {}, dress = () => {}, line = LINE }) {
    Object.assign(this, { chips, ids, onLight, onChoose, dress, line, tokens: [], groups: [], lit: null });
    this.lines = new RowsInSight(chips, (row) => this.#line(row));
    this.idLines = ids && new RowsInSight(ids, (row) => this.#idLine(row));
    for (const list of [chips, ids].filter(Boolean)) {
      list.addEventListener("pointerover", (event) => this.#at(event, (i) => this.light(i, list)));
      list.addEventListener("click", (event) => this.#at(event, (i) => onChoose(i)));
      list.addEventListener("keydown", (event) => this.#key(event));
      list.addEventListener("focus", () => this.tokens.length && this.light(this.lit ?? 0));
    }
    new ResizeObserver(() => this.chips.clientWidth !== this.width && this.#lay()).observe(chips);
  }

  show(tokens, text) {
    this.tokens = tokens;
    this.characters = [...text];
    this.groups = groupsOf(tokens);
    this.groupOf = this.groups.flatMap((group, index) => group.members.map(() => index));
    this.lit = null;
    this.#become("listbox");
    this.#lay();
  }

  /** Nothing but a word. */
  clear(words) {
    this.tokens = this.groups = [];
    this.lit = null;
    for (const rows of [this.lines, this.idLines]) rows?.show(0, LINE);
    this.#become("note");
    this.chips.replaceChildren(h("span", { class: "empty" }, words));
    this.ids?.replaceChildren("–");
  }

  /** A list without tokens is none. */
  #become(role) {
    for (const list of [this.chips, this.ids].filter(Boolean)) {
      list.removeAttribute("aria-activedescendant");
      list.setAttribute("role", role);
    }
  }

  /** The group of tokens that a token belongs to. */
  group(i) {
    return this.groups[this.groupOf[i]];
  }

  /** Light a token in both lists, and have it in sight in each but `from`, where a pointer is on it already. */
  light(i, from = null) {
    if (i === this.lit && from) return;
    for (const list of [this.chips, this.ids]) {
      for (const item of list?.querySelectorAll(".lit") ?? []) mark(item, false);
    }
    this.lit = i;
    if (from !== this.chips) this.reveal(i);
    if (this.ids && from !== this.ids) this.idLines.reveal(Math.floor(i / this.perLine));
    for (const list of [this.chips, this.ids].filter(Boolean)) {
      for (const item of list.querySelectorAll(`[data-i="${i}"]`)) mark(item, true);
      const item = list.querySelector(`[data-i="${i}"]`);
      if (item) list.setAttribute("aria-activedescendant", item.id);
    }
    this.onLight(i);
  }

  /** Have the chip of a token in sight, if it is there. */
  reveal(i) {
    if (i < this.tokens.length && this.width) this.lines.reveal(this.lineOf[this.groupOf[i]]);
  }

  /** Draw the chips in sight anew, as they are to be dressed otherwise. */
  redress() {
    if (this.tokens.length && this.width) this.lines.show(this.broken.length, this.lines.height);
  }

  #lay() {
    this.width = this.chips.clientWidth;
    if (!this.tokens.length || !this.width) return;
    const style = getComputedStyle(this.chips);
    const room = this.width - 2 * Number.parseFloat(style.paddingLeft);
    this.broken = linesOf(this.groups, this.tokens, this.characters, room, style.font);
    this.lineOf = new Int32Array(this.groups.length).fill(-1);
    this.broken.forEach((line, row) => {
      for (const { group } of line) if (this.lineOf[group] < 0) this.lineOf[group] = row;
    });
    const isCut = this.groups.some((group) => group.members.length > 1);
    this.lines.show(this.broken.length, this.line + (isCut ? CUT : 0));
    if (!this.ids) return;
    this.perLine = Math.max(1, Math.floor((this.ids.clientWidth - 16) / ID_WIDTH));
    this.idLines.show(Math.ceil(this.tokens.length / this.perLine), ID_LINE);
  }

  #line(row) {
    const made = h("div", { class: "tokens__line", role: "presentation", dir: "auto" });
    for (const segment of this.broken[row]) {
      const group = this.groups[segment.group];
      const text = this.characters.slice(segment.from, segment.to).join("");
      if (segment.gap) made.append(h("span", { "aria-hidden": "true" }, ...visible(segment.gap)));
      const isCut = group.members.length > 1;
      const drawn = isCut ? split(group, this.tokens, text, this.chips) : chip(group.members[0], this.tokens[group.members[0]], text, this.chips);
      for (const item of isCut ? drawn.querySelectorAll("[data-i]") : [drawn]) this.#finish(item);
      made.append(drawn);
    }
    return made;
  }

  #finish(item) {
    const i = Number(item.dataset.i);
    this.dress(item, i);
    if (i === this.lit) mark(item, true);
  }

  #idLine(row) {
    const first = row * this.perLine;
    const own = this.tokens.slice(first, first + this.perLine).map((token, place) => idItem(first + place, token, this.ids));
    for (const item of own) if (Number(item.dataset.i) === this.lit) mark(item, true);
    return h("div", { class: "ids__line", role: "presentation" }, ...own);
  }

  #at(event, then) {
    const item = event.target.closest("[data-i]");
    if (item) then(Number(item.dataset.i));
  }

  #key(event) {
    const last = this.tokens.length - 1;
    if (last < 0) return;
    const ends = { Home: 0, End: last };
    if (event.key === "Enter") this.onChoose(this.lit ?? 0);
    else if (event.key in ends) this.light(ends[event.key]);
    else if (event.key in STEPS) this.light(Math.max(0, Math.min(last, (this.lit ?? 0) + STEPS[event.key])));
    else return;
    event.preventDefault();
  }
}

function mark(item, isLit) {
  item.classList.toggle("lit", isLit);
  item.setAttribute("aria-selected", String(isLit));
}

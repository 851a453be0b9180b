/** Draws the logit lens: a row a layer, a column a token, in each cell what would have come next. */

import { byId, h } from "./dom.js";
import { percent } from "./format.js";
import { visible } from "./glyphs.js";

const TOKENS = 12; // each costs a head of V × E for every layer

export class LogitLens {
  constructor() {
    this.shown = null;
  }

  /** The positions to ask for so that `token` is among them; null where they are drawn already, and it stands out now. */
  window(tokens, token) {
    if (this.shown?.tokens === tokens && this.shown.positions.includes(token)) {
      this.#mark(token);
      return null;
    }
    const count = Math.min(TOKENS, tokens.length);
    const first = Math.max(0, Math.min(tokens.length - count, token - count / 2));
    return Array.from({ length: count }, (_, i) => Math.ceil(first) + i);
  }

  /** `tokens` are all of the text, `lens` of some of them. */
  draw(tokens, lens, token) {
    const positions = lens[0].tokens.map((one) => one.position);
    this.shown = { tokens, positions };
    byId("lens-head").replaceChildren(
      h("tr", {}, h("th", { scope: "col" }, "layer"), ...positions.map((i) => h("th", { scope: "col" }, ...visible(tokens[i].text)))),
    );
    byId("lens-body").replaceChildren(
      ...lens.map((one) => h("tr", {}, h("th", { scope: "row" }, String(one.layer)), ...one.tokens.map(cell))),
    );
    this.#mark(token);
    const table = byId("lens-body").closest(".table-wrap");
    const notes = [];
    if (tokens.length > positions.length) {
      notes.push(`Tokens ${positions[0]} to ${positions.at(-1)} of ${tokens.length}; choose another token to see those around it.`);
    }
    if (table.scrollWidth > table.clientWidth) notes.push("The table goes on to the right: scroll sideways, or focus it and use the arrow keys.");
    byId("lens-note").textContent = notes.join(" ");
  }

  clear() {
    this.shown = null;
    for (const id of ["lens-note", "lens-head", "lens-body"]) byId(id).replaceChildren();
  }

  #mark(token) {
    const place = this.shown.positions.indexOf(token) + 1;
    for (const row of [...byId("lens-head").rows, ...byId("lens-body").rows]) {
      [...row.cells].forEach((one, i) => one.classList.toggle("chosen", i === place));
    }
  }
}

function cell({ top }) {
  const share = Math.exp(top[0].logprob ?? -Infinity);
  const others = top.map((one) => `${one.text} ${percent(Math.exp(one.logprob ?? -Infinity))}`).join("\n");
  const made = h("td", { title: others }, ...visible(top[0].text), h("span", { class: "percent" }, percent(share)));
  made.style.setProperty("--share", share.toFixed(3));
  return made;
}

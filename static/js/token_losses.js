/** Draws the tokens of a text, each with a bar as tall as its loss. */

import { byId, facts, h, scrollWithin } from "./dom.js";
import { loss, percent } from "./format.js";
import { visible } from "./glyphs.js";
import { Linked } from "./linked.js";

const MOST = 12; // a loss that fills the bar; a vocabulary of 50,000 guessed blindly is 10.8

export class TokenLosses {
  /** `onChoose(i)` is called for a token that is clicked, or that Enter is pressed on. */
  constructor(onChoose) {
    this.list = byId("losses");
    this.readout = byId("loss-readout");
    this.linked = new Linked([this.list], (i) => this.#show(i));
    const choose = (event) => {
      const item = event.target.closest("[data-i]");
      if (item) onChoose(Number(item.dataset.i));
    };
    this.list.addEventListener("click", choose);
    this.list.addEventListener("keydown", (event) => event.key === "Enter" && choose(event));
  }

  /** Let the token that is looked from stand out. */
  choose(i) {
    this.list.querySelector("[aria-current]")?.removeAttribute("aria-current");
    this.list.children[i].setAttribute("aria-current", "true");
    scrollWithin(this.list, this.list.children[i]);
  }

  /** `tokens` are all of the text, `losses` those of each but the first; without them the tokens stand alone. */
  draw(tokens, losses = []) {
    this.tokens = tokens;
    this.losses = losses;
    this.list.replaceChildren(
      ...tokens.map((token, i) => {
        const fill = h("div", { class: "column__fill" });
        const own = losses[i - 1]?.loss ?? null;
        fill.style.height = `${(100 * Math.min(own ?? 0, MOST)) / MOST}%`;
        const told = i ? `loss ${loss(own)}, rank ${losses[i - 1]?.rank ?? "–"}` : "the first token";
        return h(
          "li",
          { tabindex: i ? "-1" : "0", data: { i }, "aria-label": `${token.text}, ${told}` },
          h("div", { class: "column", "aria-hidden": "true" }, fill),
          h("span", { class: "word" }, ...visible(token.text)),
        );
      }),
    );
    this.readout.className = "readout readout--empty";
    const known = losses.map((one) => one.loss).filter((value) => value !== null);
    const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
    const words = known.length ? `Mean loss ${loss(mean)}, perplexity ${Math.exp(mean).toFixed(1)}. Point at a token for its own.` : "";
    this.readout.replaceChildren(h("span", { class: "note" }, words));
    this.linked.reset();
  }

  clear() {
    this.list.replaceChildren();
    this.readout.className = "readout readout--empty";
    this.readout.replaceChildren();
  }

  #show(i) {
    const own = this.losses[i - 1];
    this.readout.className = "readout";
    this.readout.replaceChildren(
      h("div", { class: "readout__text" }, ...visible(this.tokens[i].text)),
      facts([
        ["position", String(i)],
        ["id", String(this.tokens[i].id)],
        ["loss", i ? loss(own?.loss) : "none: nothing came before it"],
        ["probability", typeof own?.loss === "number" ? percent(Math.exp(-own.loss)) : null],
        ["rank", own && String(own.rank)],
      ]),
    );
  }
}

/** What lies near the tokens that were looked up: one of them is chosen, its nearest are bars that can be pressed. */

import { byId, h } from "./dom.js";
import { visible } from "./glyphs.js";

export class NearList {
  /** `onChoose(i)` is called for a token of those looked up, `onPress(neighbour)` for one of its nearest. */
  constructor({ onChoose, onPress }) {
    this.onChoose = onChoose;
    this.onPress = onPress;
  }

  /** `tokens` are {text, near}, in the order of the text; the one at `chosen` is shown. */
  show(tokens, { chosen = 0, title = null } = {}) {
    this.tokens = tokens;
    byId("near").hidden = tokens.length === 0;
    this.buttons = tokens.map((token, i) =>
      h("button", { type: "button", class: "near__token", "aria-pressed": "false", on: { click: () => this.choose(i, true) } }, ...name(token.text)),
    );
    byId("near-tokens").replaceChildren(...(tokens.length > 1 ? this.buttons : []));
    byId("near-tokens").hidden = tokens.length < 2;
    this.title = title;
    if (tokens.length) this.choose(chosen);
  }

  clear() {
    this.show([]);
  }

  /** Nothing is chosen yet; `hint` says how to. */
  wait(hint) {
    byId("near").hidden = false;
    byId("near-tokens").hidden = true;
    byId("near-title").textContent = "Nearest";
    byId("near-list").replaceChildren();
    byId("near-note").textContent = hint;
  }

  choose(i, isPressed = false) {
    const token = this.tokens[i];
    this.buttons.forEach((button, place) => button.setAttribute("aria-pressed", String(place === i)));
    byId("near-title").replaceChildren(...(this.title ? [this.title] : ["Nearest to ", h("span", { class: "near__name" }, ...name(token.text))]));
    byId("near-note").textContent = token.near.length ? "by cosine: 1 is the same direction. Press one to look it up." : "The vocabulary has no other token.";
    byId("near-list").replaceChildren(...token.near.map((one) => this.#line(one)));
    if (isPressed) this.onChoose(i);
  }

  #line(one) {
    const fill = h("div", { class: "bar__fill" });
    fill.style.width = `${Math.max(0, one.score) * 100}%`;
    const about = h("span", { class: "near__word" }, ...name(one.text ?? String(one.id)));
    const button = h(
      "button",
      { type: "button", class: "near__line", on: { click: () => this.onPress(one) } },
      about,
      h("span", { class: "bar", "aria-hidden": "true" }, fill),
      h("span", { class: "percent" }, one.score.toFixed(3)),
    );
    return h("li", {}, button);
  }
}

/** A token without a text of its own has none to show. */
function name(text) {
  return text === "" ? [h("span", { class: "note" }, "(empty)")] : visible(text);
}

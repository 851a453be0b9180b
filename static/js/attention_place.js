/** Which layer, head and token is looked at: three number fields, their buttons, and who is told of a change. */

import { byId } from "./dom.js";
import { visible } from "./glyphs.js";

const NAMES = ["layer", "head", "token"];

export class AttentionPlace {
  /** `onMove(changed)` is called with the names of what changed, as keys. */
  constructor(onMove) {
    this.onMove = onMove;
    this.counts = null;
    this.state = { layer: 0, head: 0, token: null };
    for (const name of NAMES) byId(name).addEventListener("change", () => this.go({ [name]: byId(name).valueAsNumber || 0 }));
    for (const button of document.querySelectorAll("[data-step]")) {
      const { step: name, by } = button.dataset;
      button.addEventListener("click", () => this.go({ [name]: (this.state[name] ?? 0) + Number(by) }));
    }
  }

  get layer() {
    return this.state.layer;
  }

  get head() {
    return this.state.head;
  }

  get token() {
    return this.state.token;
  }

  /** Take what the address says; a token that it does not name is the last one. */
  from(query) {
    const number = (name) => (/^\d{1,9}$/.test(query.get(name) ?? "") ? Number(query.get(name)) : null);
    this.state = { layer: number("layer") ?? 0, head: number("head") ?? 0, token: number("token") };
  }

  /** Stay within what was read. The last token of a text is looked at first, and of the next text again. */
  within({ tokens, layers, heads }) {
    const before = this.counts;
    const isAtEnd = before && this.token === before.token - 1;
    const isNew = before && this.tokens.map((one) => one.id).join() !== tokens.map((one) => one.id).join();
    this.tokens = tokens;
    this.counts = { layer: layers.length, head: heads.length, token: tokens.length };
    if (this.token === null || (isAtEnd && isNew)) this.state.token = tokens.length - 1;
    for (const name of NAMES) {
      const last = this.counts[name] - 1;
      byId(name).max = last;
      byId(`${name}-most`).textContent = `of 0–${last}`;
    }
    this.#put(this.state);
  }

  clear() {
    for (const name of NAMES) byId(`${name}-most`).textContent = "";
    byId("token-shown").replaceChildren();
  }

  /** Go to another layer, head or token, within the bounds. */
  go(wanted) {
    if (!this.counts) return;
    const before = this.state;
    this.#put({ ...before, ...wanted });
    const changed = Object.fromEntries(NAMES.filter((name) => this.state[name] !== before[name]).map((name) => [name, true]));
    if (Object.keys(changed).length) this.onMove(changed);
  }

  #put(wanted) {
    this.state = Object.fromEntries(NAMES.map((name) => [name, Math.max(0, Math.min(this.counts[name] - 1, Math.round(wanted[name])))]));
    for (const name of NAMES) byId(name).value = this.state[name];
    byId("token-shown").replaceChildren(...visible(this.tokens[this.token].text));
  }
}

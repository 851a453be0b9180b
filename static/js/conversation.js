/** The turns of a chat before the message that is being written: shown, gone on with, cut off. */

import { byId, h } from "./dom.js";

export class Conversation {
  /** `onChange()` is called when turns were taken away. */
  constructor(onChange) {
    this.list = byId("turns");
    this.onChange = onChange;
    this.turns = [];
  }

  /** Begin with these turns, which have roles and contents. */
  show(turns) {
    this.turns = turns;
    this.list.replaceChildren(...turns.map((turn, i) => this.#line(turn, i)));
    this.list.hidden = turns.length === 0;
  }

  add(...turns) {
    this.show([...this.turns, ...turns]);
  }

  #line({ role, content }, i) {
    const cut = h("button", { type: "button", class: "button button--plain button--small", "aria-label": `Cut off here, before turn ${i + 1}` }, "Cut off here");
    cut.addEventListener("click", () => {
      this.show(this.turns.slice(0, i));
      this.onChange();
    });
    return h("li", {}, h("span", { class: "turns__role" }, role), h("span", { class: "turns__text", dir: "auto" }, content), cut);
  }
}

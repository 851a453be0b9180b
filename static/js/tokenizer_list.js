/** The table of all tokenizers, where those of one's own can be deleted. */

import { call, inWords } from "./api.js";
import { byId, h, say } from "./dom.js";
import { count } from "./format.js";

export class TokenizerList {
  /** `onChange()` is called when one was deleted. */
  constructor(onChange) {
    this.onChange = onChange;
  }

  show(rows) {
    byId("list").replaceChildren(...rows.map((row) => this.#line(row)));
  }

  #line(row) {
    const remove = h("button", { type: "button", class: "button button--plain button--small", "aria-label": `Delete ${row.name}` }, "Delete");
    remove.addEventListener("click", () => this.#erase(row.name, remove));
    return h(
      "tr",
      {},
      h("td", {}, row.name),
      h("td", { class: "kind" }, row.kind === "bpe" ? "byte pairs" : `words, V${row.version}`),
      h("td", { class: "number" }, count(row.vocab_size)),
      h("td", {}, from(row)),
      h("td", {}, row.source === "dataset" ? remove : null),
    );
  }

  /** The first press asks, the second one deletes. */
  async #erase(name, button) {
    if (button.textContent === "Delete") {
      button.textContent = "Really?";
      button.addEventListener("blur", () => (button.textContent = "Delete"), { once: true });
      return;
    }
    try {
      await call(`/tokenizers/${encodeURIComponent(name)}`, { method: "DELETE" });
      say(byId("list-error"), "");
      await this.onChange();
    } catch (error) {
      say(byId("list-error"), inWords(error));
    }
  }
}

function from(row) {
  if (!row.available) {
    const hint = h("span", { class: "note" }, row.hint ?? "its data is not on this machine");
    return h("details", {}, h("summary", {}, "needs its data first"), hint);
  }
  return row.source === "dataset" ? (row.dataset_name ?? "a deleted text") : row.source === "model" ? "its model" : "tiktoken";
}

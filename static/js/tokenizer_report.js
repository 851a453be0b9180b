/** Tokenizers compared on a text: asked while it is typed, the newest answer shown. */

import { call, inWords } from "./api.js";
import { byId, debounce, h, say } from "./dom.js";
import { count, percent } from "./format.js";

const PAUSE_MS = 250;
const MOST = 8;

export class TokenizerReport {
  constructor(preferred) {
    this.chosen = new Set([preferred, "smollm2"]);
    this.asking = null;
    byId("compare-text").addEventListener("input", debounce(() => this.refresh(), PAUSE_MS));
    byId("compare-choices").addEventListener("change", (event) => {
      if (event.target.checked) this.chosen.add(event.target.value);
      else this.chosen.delete(event.target.value);
      this.refresh();
    });
  }

  /** Offer these tokenizers; `added` is chosen at once. */
  offer(rows, added = null) {
    if (added) this.chosen.add(added);
    const usable = rows.filter((row) => row.available);
    this.chosen = new Set(usable.map((row) => row.name).filter((name) => this.chosen.has(name)));
    byId("compare-choices").replaceChildren(
      ...usable.map((row) => {
        const box = h("input", { type: "checkbox", value: row.name });
        box.checked = this.chosen.has(row.name);
        return h("label", { class: "check" }, box, ` ${row.name}`);
      }),
    );
    return this.refresh();
  }

  async refresh() {
    this.asking?.abort();
    const asking = new AbortController();
    this.asking = asking;
    for (const box of document.querySelectorAll("#compare-choices input")) {
      box.disabled = !box.checked && this.chosen.size >= MOST;
    }
    const text = byId("compare-text").value;
    byId("compare-table").hidden = true;
    if (!text || this.chosen.size === 0) return say(byId("compare-error"), "");
    try {
      const body = { text, tokenizers: [...this.chosen] };
      const answer = await call("/tokenizers/report", { method: "POST", body, signal: asking.signal });
      if (this.asking !== asking) return;
      say(byId("compare-error"), "");
      byId("compare-rows").replaceChildren(...answer.data.map(row));
      byId("compare-table").hidden = false;
    } catch (error) {
      if (this.asking === asking && error.name !== "AbortError") say(byId("compare-error"), inWords(error));
    }
  }
}

function row(one) {
  const unknown = one.unknown ? `${count(one.unknown)} (${percent(one.unknown_rate)})` : "none";
  const ratio = one.characters_per_token === null ? "–" : one.characters_per_token.toFixed(2);
  return h(
    "tr",
    {},
    h("td", {}, one.tokenizer, h("span", { class: "note" }, `${count(one.vocab_size)} ids`)),
    h("td", { class: "number" }, one.tokens === null ? "cannot" : count(one.tokens)),
    h("td", { class: "number" }, ratio),
    h("td", { class: "number" }, unknown),
    h("td", {}, failures(one)),
  );
}

function failures(one) {
  if (!one.round_trip_failures) return "none";
  const lines = one.round_trip_examples.map((failure) =>
    h(
      "p",
      {},
      `line ${failure.line}: `,
      h("code", {}, failure.text),
      failure.decoded === null ? " has the unknown word " : " → ",
      h("code", {}, failure.decoded ?? failure.unknown_word),
    ),
  );
  const told = `${count(one.round_trip_failures)} of ${count(one.lines)}`;
  return h("details", { class: "failures" }, h("summary", {}, told), ...lines);
}

/** The same text by several tokenizers, a card each: its tokens, and what they cost and lose. */

import { call, inWords } from "./api.js";
import { byId, debounce, h } from "./dom.js";
import { count, percent } from "./format.js";
import { visible } from "./glyphs.js";
import { TokenLists } from "./token_lists.js";

const PAUSE_MS = 250;
const MOST = 8;
const FIRST = ["gpt2", "smollm2"];
const MOST_DRAWN = 200_000; // characters whose tokens a card shows; it counts all

export class TokenizerCards {
  /** `onChange()` is called when other tokenizers were chosen. */
  constructor(onChange) {
    this.onChange = onChange;
    this.chosen = FIRST;
    this.cards = new Map(); // by name
    this.soon = debounce(() => this.#ask(), PAUSE_MS);
    byId("compare-choices").addEventListener("change", ({ target }) => {
      this.chosen = target.checked ? [...this.chosen, target.value] : this.chosen.filter((name) => name !== target.value);
      this.#fit();
      this.#ask();
      onChange();
    });
  }

  /** The names, as the address has them; nothing where it need not say. */
  get names() {
    return this.chosen.join() === FIRST.join() ? "" : this.chosen.join();
  }

  from(query) {
    if (query.get("beside")) this.chosen = query.get("beside").split(",").slice(0, MOST);
    this.#fit();
  }

  add(name) {
    if (this.chosen.length < MOST) this.chosen = [...this.chosen, name];
  }

  /** Offer these tokenizers. */
  offer(rows) {
    this.rows = rows.filter((row) => row.available);
    this.chosen = [...new Set(this.chosen)].filter((name) => this.rows.some((row) => row.name === name));
    byId("compare-choices").replaceChildren(
      ...this.rows.map((row) => h("label", { class: "check" }, h("input", { type: "checkbox", value: row.name }), ` ${row.name}`)),
    );
    this.#fit();
    this.#ask();
  }

  /** Show this text, once it is typed no more. */
  read(body) {
    this.body = body;
    this.soon();
  }

  clear() {
    this.body = null;
    for (const card of this.cards.values()) card.say("–");
  }

  /** A card for each that is chosen, and a mark in its box. */
  #fit() {
    for (const box of document.querySelectorAll("#compare-choices input")) {
      box.checked = this.chosen.includes(box.value);
      box.disabled = !box.checked && this.chosen.length >= MOST;
    }
    const known = (name) => this.rows?.some((row) => row.name === name);
    const names = this.chosen.filter(known);
    this.cards = new Map(names.map((name) => [name, this.cards.get(name) ?? new Card(name)]));
    byId("compare-cards").replaceChildren(...[...this.cards.values()].map((card) => card.element));
  }

  async #ask() {
    this.asking?.abort();
    const asking = (this.asking = new AbortController());
    if (!this.body || !this.cards.size) return;
    const { text, specials = "text" } = this.body;
    await Promise.all([...this.cards].map(([name, card]) => card.read({ text, specials, tokenizer: name }, asking.signal)));
  }
}

class Card {
  constructor(name) {
    this.name = name;
    const id = `card-${name.replaceAll(/[^\w-]/g, "_")}`;
    this.figures = h("dl", { class: "card__figures" });
    this.list = h("div", { class: "tokens tokens--small", role: "note", tabindex: "0", id, "aria-label": `Tokens of ${name}` });
    this.note = h("p", { class: "note card__note" });
    this.element = h("article", { class: "card" }, h("h3", {}, name), this.figures, this.list, this.note);
    this.lists = new TokenLists(this.list, null, { onLight: (i) => this.#tell(i) });
  }

  say(words) {
    this.key = null;
    this.lists.clear(words);
    this.figures.replaceChildren();
    this.note.replaceChildren();
  }

  async read(body, signal) {
    const key = JSON.stringify(body);
    if (key === this.key) return; // it shows just that
    const ask = (path, asked) => call(path, { method: "POST", body: asked, signal });
    try {
      const report = body.text ? await ask("/tokenizers/report", { text: body.text, tokenizers: [this.name] }) : null;
      this.figures.replaceChildren(...(report ? figures(report.data[0]) : []));
      this.key = null;
      if (report?.data[0].tokens === null) return this.lists.clear("It cannot write this text: it does not know a word of it.");
      const text = body.text.slice(0, MOST_DRAWN).replace(/[\ud800-\udbff]$/, ""); // no half of a character
      this.#show(await ask("/tokenize", { ...body, text }), text);
      this.key = key;
      if (text !== body.text) this.note.textContent = `The tokens of its first ${count(MOST_DRAWN)} characters are shown.`;
    } catch (error) {
      if (error.name !== "AbortError") this.say(inWords(error));
    }
  }

  #show({ tokens }, text) {
    this.note.replaceChildren();
    if (tokens.length) this.lists.show(tokens, text);
    else this.lists.clear("No text, no tokens");
  }

  #tell(i) {
    const token = this.lists.tokens[i];
    this.note.replaceChildren(...visible(token.text), ` · id ${token.id} · characters ${token.start}–${token.end}`);
  }
}

function figures(one) {
  const unknown = one.unknown ? `${count(one.unknown)} (${percent(one.unknown_rate)}): ${one.unknown_examples.join(", ")}` : "none";
  const pairs = [
    ["tokens", one.tokens === null ? "cannot" : count(one.tokens)],
    ["characters a token", one.characters_per_token?.toFixed(2) ?? "–"],
    ["ids it has", count(one.vocab_size)],
    ["unknown words", unknown],
    ["lines that come back changed", failures(one)],
  ];
  return pairs.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)));
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

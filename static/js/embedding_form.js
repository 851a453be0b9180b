/** The form of the page of vectors: which fields count, the requests that they make, the address that holds them. */

import { asked, remember } from "./address.js";
import { curl, python, quoted } from "./command.js";
import { byId } from "./dom.js";
import { numberIn } from "./numbers.js";

const FIELDS = ["model", "show", "text", "ids", "dataset", "count", "a", "b", "c", "bare", "neighbours", "axes"];
const OF = { text: ["text", "ids", "bare"], frequent: ["dataset", "count"], analogy: ["a", "b", "c", "bare"], positions: [] };
const HOMES = ["127.0.0.1:8000", "localhost:8000"]; // what `inkling` calls by itself
const MOST_POSITIONS = 2048; // that a map is made of

/** The field that a refusal is about, by the request's name for it. */
export const REFUSED = {
  model: "model",
  table: "model",
  text: "words",
  ids: "words",
  "frequent.dataset": "dataset",
  "frequent.column": "dataset",
  "frequent.count": "count",
  "plus.0": "b",
  "plus.1": "c",
  "minus.0": "a",
  neighbours: "neighbours",
};

export class EmbeddingForm {
  /** `ask(isStep)` is called when something else is to be looked up, `draw` when the same is to be drawn along other axes. */
  constructor({ ask, draw }) {
    this.form = byId("embeddings-form");
    this.ids = this.form.dataset.ids; // asked for by number, in place of the text
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      ask(true);
    });
    for (const radio of this.#all("show")) {
      radio.addEventListener("change", () => {
        this.fit();
        ask(true);
      });
    }
    for (const radio of this.#all("axes")) radio.addEventListener("change", draw);
    for (const radio of this.#all("language")) radio.addEventListener("change", () => this.tell());
    byId("words").addEventListener("input", () => (this.ids = ""));
    byId("model").addEventListener("change", () => this.#modelChanged(ask));
    this.form.addEventListener("input", () => this.tell());
    addEventListener("popstate", () => {
      this.#fromAddress();
      ask(false);
    });
    this.#fitPositions();
    this.fit();
  }

  #all(name) {
    return [...this.form.elements].filter((field) => field.name === name);
  }

  get show() {
    return this.form.elements.show.value;
  }

  get axes() {
    return Number(this.form.elements.axes.value);
  }

  get model() {
    return byId("model").value;
  }

  /** What is known of the model: its tokenizer, how many positions it has a table of, and what it learnt from. */
  get about() {
    const { tokenizer, positions, dataset } = byId("model").selectedOptions[0].dataset;
    return { tokenizer, positions: Number(positions), dataset };
  }

  /** Show the fields that count. */
  fit() {
    for (const part of this.form.querySelectorAll("[data-of]")) part.hidden = !part.dataset.of.split(" ").includes(this.show);
    byId("show-note").textContent = this.form.querySelector("[name=show]:checked").dataset.about;
    this.tell();
  }

  /** The tokens of another model have other numbers, and it learnt from another text. */
  #modelChanged(ask) {
    this.ids = "";
    const { dataset } = this.about;
    if ([...byId("dataset").options].some((option) => option.value === dataset)) byId("dataset").value = dataset;
    this.#fitPositions();
    this.fit();
    ask(true);
  }

  #fitPositions() {
    const radio = this.#all("show").find((one) => one.value === "positions");
    radio.disabled = this.about.positions === 0;
    radio.parentElement.title = radio.disabled ? "This model has no table of positions: it tells places otherwise, or not at all." : "";
    if (radio.disabled && radio.checked) this.form.elements.show.value = "text";
  }

  /** Ask for a token by its number, as not every one can be written. */
  choose(id, text) {
    this.form.elements.show.value = "text";
    this.ids = String(id);
    byId("words").value = text;
    this.fit();
  }

  /** The request for what is to be looked up: [path, body]. Throws NotANumber. */
  request() {
    const [model, neighbours] = [this.model, numberIn("neighbours")];
    const plane = { project: true, axes: this.axes, vectors: false };
    if (this.show === "analogy") {
      return ["/embeddings/analogy", { model, plus: [this.#word("b"), this.#word("c")], minus: [this.#word("a")], neighbours }];
    }
    if (this.show === "frequent") {
      return ["/embeddings", { model, frequent: { dataset: byId("dataset").value, count: numberIn("count") }, ...plane }];
    }
    if (this.show === "positions") {
      const most = this.about.positions;
      const some = most > MOST_POSITIONS ? { ids: Array.from({ length: MOST_POSITIONS }, (_, place) => place) } : {};
      return ["/embeddings", { model, table: "positions", ...some, ...plane }];
    }
    const rows = this.ids ? { ids: this.ids.split(",").map(Number) } : { text: this.#word("words") };
    return ["/embeddings", { model, ...rows, neighbours, ...(this.about.positions ? { positions: true } : {}) }];
  }

  /** As it stands inside a text, unless it is to be taken as it is written. */
  #word(id) {
    const written = byId(id).value;
    return byId("bare").checked || !written || /^\s/.test(written) ? written : ` ${written}`;
  }

  /** The command that asks for the same. */
  tell() {
    let told;
    try {
      const [path, body] = this.request();
      const { language } = this.form.elements;
      told = { curl: () => curl(path, body), python: () => python(path, body, `print(json.load(answer)["${"neighbours" in body ? "neighbours" : "projection"}"])`), inkling: () => this.#inkling(body) }[language.value]();
    } catch (error) {
      told = error.message;
    }
    byId("embeddings-command").textContent = told;
  }

  #inkling(body) {
    const words = [`--model ${quoted(body.model)}`];
    for (const term of body.plus ?? []) words.push(`--plus ${quoted(term)}`);
    for (const term of body.minus ?? []) words.push(`--minus ${quoted(term)}`);
    for (const id of body.table ? [] : (body.ids ?? [])) words.push(`--id ${id}`);
    if (body.frequent) words.push(`--frequent ${quoted(body.frequent.dataset)} --count ${body.frequent.count}`);
    if (body.table) words.push("--positions");
    if (body.axes) words.push(`--axes ${body.axes}`);
    if (body.neighbours !== undefined) words.push(`--neighbours ${body.neighbours}`);
    if (!HOMES.includes(location.host)) words.push(`--url ${location.origin}`);
    if (body.text !== undefined) words.push(`-- ${quoted(body.text)}`);
    return ["inkling embeddings", ...words].join(" \\\n  ");
  }

  /** Hold in the address what is not as it is at first. */
  remember(isStep) {
    const counting = ["model", "show", "neighbours", "axes", ...OF[this.show]];
    const state = FIELDS.filter((name) => counting.includes(name)).map((name) => [name, this.#value(name)]);
    remember(Object.fromEntries(state.filter(([name, value]) => value !== this.#first(name))), { step: isStep });
  }

  #fromAddress() {
    const wanted = asked();
    for (const name of FIELDS) {
      const value = wanted.get(name) ?? this.#first(name);
      if (name === "ids") this.ids = value;
      else if (name === "bare") byId(name).checked = value !== "";
      else this.form.elements[name].value = value;
    }
    this.#fitPositions();
    this.fit();
  }

  #value(name) {
    if (name === "ids") return this.ids;
    if (name === "bare") return byId(name).checked ? "1" : "";
    return this.form.elements[name].value;
  }

  #first(name) {
    return { show: "text", axes: "2", bare: "", ids: "" }[name] ?? this.form.elements[name].dataset.default;
  }
}

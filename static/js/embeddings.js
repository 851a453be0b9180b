/** The page of vectors: from the form to requests, from answers to the list, the map and the strips. */

import { call, inWords } from "./api.js";
import { installCopyButtons } from "./copying.js";
import { byId, say } from "./dom.js";
import { EmbeddingForm, REFUSED } from "./embedding_form.js";
import { count, many } from "./format.js";
import { NearList } from "./near_list.js";
import { mark, NotANumber, numberIn, unmark } from "./numbers.js";
import { VectorMap } from "./vector_map.js";
import { VectorStrips } from "./vector_strips.js";

const SLOW_MS = 900;
const MOST_MAPPED = 2048;
const UNKNOWN = "<|unk|>";

class Embeddings {
  constructor() {
    this.near = new NearList({ onChoose: () => {}, onPress: (one) => this.#lookUp(one) });
    this.map = new VectorMap((point) => this.#lookUp(point));
    this.strips = new VectorStrips();
    this.form = new EmbeddingForm({ ask: (isStep) => this.run(isStep), draw: () => this.#trying(() => this.#drawMap(), "map-error") });
  }

  /** Look up what the form says. A newer call makes an older one's answer void. */
  async run(isStep = false) {
    unmark(this.form.form);
    this.asking?.abort();
    this.asking = new AbortController();
    this.form.remember(isStep);
    await this.#trying(async () => {
      const [path, body] = this.form.request();
      const answer = await this.#ask(path, body);
      say(byId("unknown"), "");
      byId("embeddings-status").textContent = "";
      const show = { text: () => this.#text(answer), frequent: () => this.#frequent(answer), analogy: () => this.#analogy(answer), positions: () => this.#positions(answer) };
      await show[this.form.show]();
    });
  }

  /** What goes wrong is told in `notice`; nothing of what was shown before is left beside it. */
  async #trying(step, notice = "embeddings-error") {
    say(byId(notice), "");
    const asking = this.asking;
    try {
      await step();
    } catch (error) {
      if (error.name === "AbortError" || asking !== this.asking) return;
      for (const part of [this.near, this.map, this.strips]) part.clear();
      byId("embeddings-status").textContent = "";
      say(byId("unknown"), "");
      mark(error.param?.replace(/^ids\..*/, "ids"), REFUSED);
      say(byId("embeddings-error"), error instanceof NotANumber ? error.message : inWords(error));
    }
  }

  /** An answer; what takes long says why, and shows that it is at work. */
  async #ask(path, body) {
    const { signal } = this.asking;
    const slow = setInterval(() => this.#tellProgress(signal), SLOW_MS);
    try {
      return await call(path, { method: "POST", body, signal });
    } finally {
      clearInterval(slow);
      if (signal === this.asking.signal) byId("busy").hidden = true;
    }
  }

  async #tellProgress(signal) {
    byId("busy").hidden = false;
    const model = this.form.model;
    const found = await call(`/models/${encodeURIComponent(model)}`, { signal }).catch(() => null); // the request itself tells what is wrong
    if (signal.aborted || byId("busy").hidden) return;
    const { stage, done, total } = found?.progress ?? {};
    byId("busy-told").textContent = stage ? `${model} is being loaded: ${stage}, ${done} of ${total}` : "Looking …";
  }

  async #text(answer) {
    const seen = new Set();
    const distinct = answer.ids.map((id, i) => ({ id, text: answer.texts[i], near: answer.neighbours[i] })).filter(({ id }) => !seen.has(id) && seen.add(id));
    this.near.show(distinct);
    this.strips.show(answer);
    const known = [...distinct.map((token) => ({ ...token, kind: "asked" })), ...distinct.flatMap((token) => token.near).map((token) => ({ ...token, kind: "near" }))];
    this.points = unique(known).slice(0, MOST_MAPPED);
    this.drawing = { note: `${many(distinct.length, "token")} and what is near.` };
    await Promise.all([this.#drawMap(), this.#tellUnknown(answer)]);
  }

  #frequent(answer) {
    this.strips.clear();
    this.near.wait("Press a point of the map to see what lies nearest to it.");
    const { tokens, sampled } = answer.counted;
    byId("embeddings-status").textContent = `Counted in ${many(tokens, "token")}${sampled ? ", parts from all over the dataset" : ""}.`;
    this.points = answer.ids.map((id, i) => ({ id, text: answer.texts[i], times: answer.counts[i], kind: "frequent" }));
    this.drawing = { note: `The ${count(answer.ids.length)} most frequent tokens.` };
    this.map.show(this.points, answer.projection, this.drawing);
  }

  #positions(answer) {
    this.strips.clear();
    this.near.wait("Press a point of the map to see which positions are nearest to it.");
    this.points = answer.ids.map((id) => ({ id, text: String(id), kind: "position" }));
    this.drawing = { note: `${many(answer.ids.length, "position")}, joined in their order.`, lines: answer.ids.slice(1).map((_, i) => [i, i + 1]), table: "positions" };
    this.map.show(this.points, answer.projection, this.drawing);
  }

  async #analogy({ terms, neighbours }) {
    this.strips.clear();
    const told = terms.map((term) => `${term.sign > 0 ? "+" : "−"} ${term.text.trim()}`).join(" ");
    this.near.show([{ text: "", near: neighbours }], { title: `${told.replace(/^\+ /, "")} is near` });
    const split = terms.filter((term) => term.ids.length > 1).map((term) => `“${term.text.trim()}” is ${many(term.ids.length, "token")}, the mean of which counts`);
    byId("embeddings-status").textContent = split.length ? `${split.join("; ")}.` : "";
    const own = terms.flatMap((term) => term.ids.map((id, i) => ({ id, text: term.texts[i], kind: term.sign > 0 ? "plus" : "minus" })));
    this.points = unique([...own, ...neighbours.map((one) => ({ ...one, kind: "answer" }))]);
    const place = (id) => this.points.findIndex((point) => point.id === id);
    const [b, c, a] = terms.map((term) => place(term.ids[0]));
    const best = neighbours.length ? [[c, place(neighbours[0].id)]] : [];
    this.drawing = { note: "The lines would be parallel if the analogy held exactly.", lines: terms.every((term) => term.ids.length === 1) ? [[a, b], ...best] : [] };
    await this.#drawMap();
  }

  /** Lay the points that are shown along the axes that are chosen. */
  async #drawMap() {
    this.form.remember(false);
    this.form.tell();
    if (!this.points || this.points.length < 2) return this.map.clear();
    const table = this.drawing.table ? { table: this.drawing.table } : {};
    const body = { model: this.form.model, ids: this.points.map((point) => point.id), ...table, project: true, axes: this.form.axes, vectors: false };
    const { projection } = await this.#ask("/embeddings", body);
    this.map.show(this.points, projection, this.drawing);
  }

  /** Words that a word tokenizer does not know have one vector, which is nobody's. */
  async #tellUnknown(answer) {
    const text = byId("words").value;
    if (!answer.texts.includes(UNKNOWN) || text.includes(UNKNOWN) || this.form.ids) return;
    const { tokens } = await call("/tokenize", { method: "POST", body: { text, tokenizer: this.form.about.tokenizer }, signal: this.asking.signal });
    const unknown = answer.ids[answer.texts.indexOf(UNKNOWN)];
    const words = tokens.filter((token) => token.id === unknown).map((token) => `“${[...text].slice(token.start, token.end).join("")}”`);
    say(byId("unknown"), `${[...new Set(words)].join(", ")}: not among the words that ${this.form.model} has vectors of. ${UNKNOWN} stands in their place.`);
  }

  /** A token, or a position, that was pressed: positions are told beside the map, tokens looked up. */
  #lookUp(one) {
    if (this.form.show === "positions") return this.#trying(() => this.#nearPosition(one.id));
    if (this.form.show === "frequent") return this.#trying(() => this.#nearToken(one));
    this.form.choose(one.id, one.text);
    return this.run(true);
  }

  async #nearToken({ id }) {
    const answer = await this.#ask("/embeddings", { model: this.form.model, ids: [id], neighbours: numberIn("neighbours"), vectors: false });
    this.near.show([{ text: answer.texts[0], near: answer.neighbours[0] }]);
  }

  async #nearPosition(place) {
    const answer = await this.#ask("/embeddings", { model: this.form.model, table: "positions", ids: [place], neighbours: numberIn("neighbours"), vectors: false });
    this.near.show([{ text: String(place), near: answer.neighbours[0] }], { title: `Nearest to position ${place}` });
  }
}

/** Each token once, as what it comes first. */
function unique(points) {
  const seen = new Set();
  return points.filter(({ id }) => !seen.has(id) && seen.add(id));
}

installCopyButtons();
await new Embeddings().run();

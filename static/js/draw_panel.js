/** How one token is drawn: the model's scores of a place, fetched once, and what the settings make of them as they move. */

import { call, inWords } from "./api.js";
import { byId, debounce, say } from "./dom.js";
import { count } from "./format.js";
import { drawTable } from "./draw_table.js";
import { NotANumber } from "./numbers.js";
import { distribution, penalised, ranked } from "./sampling.js";
import { floats } from "./tensor.js";

const SHOWN = 12;
const KNOWN = 20; // alternatives that an answer names
const TRIES = 20;
const AT_ONCE = 4000; // characters of a prompt that is looked at while it is being written
const BEHIND = 60;

export class DrawPanel {
  /** `settings()` tells how tokens are drawn, as a request has it; it may throw NotANumber. */
  constructor(settings) {
    this.settings = settings;
    this.source = this.seen = null;
    this.words = {}; // by model: the texts of its ids
    this.soon = debounce(() => this.#look(), 400);
    const input = byId("draw-place");
    const step = (by) => this.show(this.source, Math.round(input.valueAsNumber || 1) - 1 + by);
    for (const button of document.querySelectorAll("[data-step=draw-place]")) button.addEventListener("click", () => step(Number(button.dataset.by)));
    input.addEventListener("change", () => step(0));
    byId("draw-try").addEventListener("click", () => this.#try());
    new IntersectionObserver(([entry]) => {
      this.isVisible = entry.isIntersecting;
      if (this.isVisible && this.isStale) this.soon();
    }, { rootMargin: "200px" }).observe(byId("draw"));
  }

  /** The place behind `place` tokens of a text; `source` has `{asked, model, tokens}`. */
  show(source, place) {
    this.source = source;
    this.place = Math.max(0, Math.min(place, source.tokens.length));
    const input = byId("draw-place");
    input.max = source.tokens.length + 1;
    input.value = this.place + 1;
    byId("draw-place-most").textContent = `of ${count(source.tokens.length + 1)}`;
    const { prompt, messages } = source.asked;
    const text = (prompt ?? "") + source.tokens.slice(0, this.place).map((token) => token.text).join("");
    byId("draw-behind").textContent = text.length > BEHIND ? `… ${[...text].slice(-BEHIND).join("")}` : text || `${messages?.at(-1).role ?? ""}: ${messages?.at(-1).content.slice(0, BEHIND) ?? ""}`;
    this.isStale = true;
    if (this.isVisible) this.soon();
  }

  /** Fetch the scores of the place. */
  async #look() {
    const { source, place } = this;
    this.asking?.abort();
    if (!source || (source.asked.prompt ?? "").length > AT_ONCE && !source.tokens.length) return this.#clear("A long prompt is not looked at while it is being written: generate first.");
    if (source.asked.prompt === "") return this.#clear("Nothing stands before this place yet.");
    this.isStale = false;
    this.asking = new AbortController();
    byId("draw-status").textContent = this.seen ? "" : "Asking for the scores …";
    try {
      const body = { ...this.#request(), max_new_tokens: 1, temperature: 0, top_logprobs: KNOWN, logits: true };
      const answer = await call("/generate", { method: "POST", body, signal: this.asking.signal });
      const words = (this.words[source.model] ??= new Map());
      for (const token of answer.choices[0].tokens[0].top) words.set(token.id, token.text);
      for (const token of source.tokens.slice(place, place + 1)) words.set(token.id, token.text);
      this.seen = { logits: floats({ data: answer.logits }), before: answer.prompt_ids, words, was: source.tokens[place]?.id };
      this.tries = null;
      say(byId("draw-error"), "");
      byId("draw-status").textContent = "";
      this.update();
    } catch (error) {
      if (error.name !== "AbortError") this.#clear(inWords(error));
    }
  }

  #request() {
    const { asked, model, tokens } = this.source;
    const begin = tokens.slice(0, this.place).map((token) => token.id);
    return { model, ...asked, ...(begin.length && { begin }) };
  }

  #reveal(isThere) {
    for (const id of ["draw-wrap", "draw-note", "draw-tries"]) byId(id).hidden = !isThere;
  }

  #clear(message) {
    this.seen = null;
    this.#reveal(false);
    say(byId("draw-error"), message);
  }

  /** The settings moved: what was drawn with others no longer counts. */
  moved() {
    this.tries = null;
    byId("draw-status").textContent = "";
    this.update();
  }

  update() {
    if (!this.seen) return;
    let settings;
    try {
      settings = this.settings();
    } catch (error) {
      if (error instanceof NotANumber) return; // the form says so once it is sent
      throw error;
    }
    const { logits, before, words, was } = this.seen;
    const penalty = settings.repetition_penalty ?? 1;
    if (this.seen.penalty !== penalty) {
      const changed = penalised(logits, before, penalty);
      Object.assign(this.seen, { penalty, changed, order: ranked(changed) });
    }
    const { changed, order } = this.seen;
    const ids = [...order.subarray(0, SHOWN)];
    for (const id of [was, ...Object.keys(this.tries?.counts ?? {}).map(Number)]) if (id !== undefined && !ids.includes(id)) ids.push(id);
    drawTable({ ids, logits, changed, order, words, was, settings, tries: this.tries, ...distribution(changed, order, settings) });
    this.#reveal(true);
    this.#name(ids.filter((id) => !words.has(id)));
  }

  /** Ask for the texts of ids that no answer has named. */
  async #name(ids) {
    const { seen, source } = this;
    for (const id of ids) seen.words.set(id, `#${id}`);
    for (const id of ids) {
      const { prompt } = await call("/detokenize", { method: "POST", body: { model: source.model, tokens: [id] } });
      seen.words.set(id, prompt);
    }
    if (ids.length && seen === this.seen) this.update();
  }

  /** Have the server draw as often as it takes to see the chances at work. */
  async #try() {
    const { seen } = this;
    byId("draw-try").disabled = true;
    byId("draw-status").textContent = "Drawing …";
    try {
      const { seed = Math.floor(Math.random() * 2 ** 32), ...settings } = this.settings();
      const body = { ...this.#request(), ...settings, seed, n: TRIES, max_new_tokens: 1, top_logprobs: 0 };
      const { choices } = await call("/generate", { method: "POST", body });
      if (seen !== this.seen) return;
      const counts = {};
      for (const { tokens } of choices) {
        counts[tokens[0].id] = (counts[tokens[0].id] ?? 0) + 1;
        if (!seen.words.has(tokens[0].id)) seen.words.set(tokens[0].id, tokens[0].text);
      }
      this.tries = { counts, seed, first: choices[0].tokens[0].id };
      byId("draw-status").textContent = `Drawn with the seeds ${seed} to ${seed + TRIES - 1}; the first one gave ${JSON.stringify(seen.words.get(this.tries.first))}.`;
      this.update();
    } catch (error) {
      byId("draw-status").textContent = error instanceof NotANumber ? error.message : inWords(error);
    } finally {
      byId("draw-try").disabled = false;
    }
  }
}

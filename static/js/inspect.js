/** The glass box: from the form to requests, from answers to the four panels. */

import { call, inWords } from "./api.js";
import { AttentionMatrix } from "./attention_matrix.js";
import { fillModels } from "./choices.js";
import { curl, installCopyButtons } from "./command.js";
import { byId, debounce, say } from "./dom.js";
import { many } from "./format.js";
import { drawLens } from "./logit_lens.js";
import { drawNext } from "./next_tokens.js";
import { mark, NotANumber, numberIn, tieSliders, unmark } from "./numbers.js";
import { floats } from "./tensor.js";
import { TokenLosses } from "./token_losses.js";

const STAGES = ["scores", "masked", "attention"];
const MOST_TOKENS = 128; // more would be cells too small to point at
const LENS_TOKENS = 12;
const NEXT_TOKENS = 20;
const FIELDS = { text: "text", model: "model", temperature: "temperature", top_k: "top-k", top_p: "top-p" };

class GlassBox {
  constructor({ model }) {
    this.defaultModel = model;
    this.form = byId("inspect-form");
    this.losses = new TokenLosses();
    this.matrix = new AttentionMatrix();
    this.asked = {}; // by panel: the request whose answer is awaited
    this.source = null;
    tieSliders();
    this.#listen();
  }

  async start() {
    const asked = new URLSearchParams(location.search).get("model");
    try {
      await fillModels(byId("model"), byId("model-missing"), this.defaultModel, asked);
    } catch (error) {
      say(byId("inspect-error"), `The list of models did not come. ${inWords(error)}`);
      return;
    }
    await this.run();
  }

  #listen() {
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.run();
    });
    this.form.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.run();
    });
    for (const button of document.querySelectorAll("[data-step]")) {
      button.addEventListener("click", () => this.#step(byId(button.dataset.step), Number(button.dataset.by)));
    }
    for (const id of ["layer", "head"]) byId(id).addEventListener("change", (event) => this.#step(event.target, 0));
    for (const radio of document.querySelectorAll("[name=stage]")) radio.addEventListener("change", () => this.#showMatrix());
    byId("draw").addEventListener("input", debounce(() => this.#panel("next", () => this.#next()), 200));
  }

  /** Read the text anew; the panels follow one after the other, as they all compute on the same cores. */
  async run() {
    unmark(this.form);
    say(byId("inspect-error"), "");
    const source = { model: byId("model").value, text: byId("text").value };
    byId("inspect-status").textContent = "Reading …";
    byId("inspect-command").textContent = curl("/inspect", { ...source, want: ["attention", "loss", "next"], layers: [0] });
    try {
      const answer = await this.#ask("loss", { ...source, want: ["loss"] });
      if (answer.count > MOST_TOKENS) {
        throw new RangeError(`This page draws up to ${MOST_TOKENS} tokens, and the text has ${answer.count}. The API takes more.`);
      }
      this.source = source;
      this.answer = answer;
      this.losses.draw(answer.tokens, answer.loss.tokens);
      this.#bound("layer", answer.layers.length);
      this.#bound("head", answer.heads.length);
    } catch (error) {
      if (error.name === "AbortError") return;
      byId("inspect-status").textContent = "";
      mark(error.param, FIELDS);
      say(byId("inspect-error"), error instanceof RangeError ? error.message : inWords(error));
      return;
    }
    byId("inspect-status").textContent = "Looking at the layers …";
    const { answer } = this;
    for (const [name, work] of [["attention", () => this.#attention()], ["next", () => this.#next()], ["inspect", () => this.#lens()]]) {
      await this.#panel(name, work);
      if (answer !== this.answer) return; // a newer text is being read
    }
    const { count, layers, heads } = answer;
    byId("inspect-status").textContent = `${many(count, "token")} · ${many(layers.length, "layer")} of ${many(heads.length, "head")}`;
  }

  /** An answer to the newest request of a panel; an older one of the same panel is given up. */
  #ask(panel, body) {
    this.asked[panel]?.abort();
    this.asked[panel] = new AbortController();
    return call("/inspect", { method: "POST", body, signal: this.asked[panel].signal });
  }

  async #panel(name, work) {
    if (!this.source) return;
    say(byId(`${name}-error`), "");
    try {
      await work();
    } catch (error) {
      if (error.name === "AbortError") return;
      mark(error.param, FIELDS);
      say(byId(`${name}-error`), error instanceof NotANumber ? error.message : inWords(error));
    }
  }

  async #attention() {
    const { source, answer } = this;
    const place = { layers: [byId("layer").valueAsNumber], heads: [byId("head").valueAsNumber] };
    const found = await this.#ask("attention", { ...source, ...place, want: STAGES, encoding: "base64" });
    if (answer !== this.answer) return;
    this.stages = Object.fromEntries(STAGES.map((stage) => [stage, floats(found[stage])]));
    this.place = `layer ${place.layers[0]}, head ${place.heads[0]}`;
    this.#showMatrix();
  }

  #showMatrix() {
    const chosen = document.querySelector("[name=stage]:checked");
    byId("stage-note").textContent = chosen.dataset.about;
    if (this.stages) this.matrix.show(this.answer.tokens, this.stages, chosen.value, `${chosen.value} of ${this.place}`);
  }

  async #next() {
    unmark(byId("draw"));
    const { source, answer } = this;
    const draw = { temperature: numberIn("temperature"), top_k: numberIn("top-k"), top_p: numberIn("top-p") };
    const where = { tokens: [answer.count - 1], want: ["next"], top: NEXT_TOKENS };
    const found = await this.#ask("next", { ...source, ...where, ...draw });
    if (answer === this.answer) drawNext(found.next[0].top);
  }

  async #lens() {
    const { source, answer } = this;
    const tokens = answer.positions.slice(-LENS_TOKENS);
    const found = await this.#ask("lens", { ...source, tokens, want: ["logit_lens"], top: 3 });
    if (answer === this.answer) drawLens(answer.tokens, found.logit_lens);
  }

  #bound(id, count) {
    const input = byId(id);
    input.max = count - 1;
    byId(`${id}-most`).textContent = `of 0–${count - 1}`;
    input.value = Math.min(input.valueAsNumber || 0, count - 1);
  }

  #step(input, by) {
    const wanted = Math.round(input.valueAsNumber || 0) + by;
    input.value = Math.max(0, Math.min(Number(input.max), wanted));
    this.#panel("attention", () => this.#attention());
  }
}

installCopyButtons();
await new GlassBox(byId("inspect").dataset).start();

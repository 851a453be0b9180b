/** What a job's checkpoints make of one prompt: asked part by part, one request at a time, and kept. */

import { call, Refusal } from "./api.js";
import { AttentionHead, WANTED } from "./attention_head.js";

const TOP = 8;
const MOST_TOKENS = 200;
const PARTS = { text: ["shape", "next", "head", "text"], chat: ["shape", "next", "head", "text"], classes: ["classes"] };

export class CheckpointReadings {
  /**
   * `kind` says how a prompt is put. `onPart()` is called when a part is there, `onRest(error)` when all of what was wanted last
   * is, or when it was refused.
   */
  constructor(kind, mostNew, { onPart, onRest }) {
    Object.assign(this, { kind, mostNew, onPart, onRest });
    this.parts = PARTS[kind];
    this.pin("");
  }

  /** Ask about this prompt from now on. */
  pin(prompt) {
    if (prompt === this.prompt) return;
    this.rest();
    this.prompt = prompt;
    this.found = new Map();
  }

  /** A part of what is known of `{model, layer, head}`, or undefined. */
  known(part, wish) {
    return this.found.get(keyOf(part, wish));
  }

  /**
   * Have all parts there but the one that `wish` goes `without`. A newer wish takes the place of an older one, whose request is
   * waited for all the same, unless it writes: two checkpoints that are loaded at once would put a third model out of memory.
   */
  async want(wish) {
    this.wanted = wish;
    this.writing?.abort();
    if (this.isBusy) return;
    this.isBusy = true;
    while (this.wanted) await this.#serve(this.wanted);
    this.isBusy = false;
  }

  /** Ask for nothing more. */
  rest() {
    this.wanted = null;
    this.writing?.abort();
  }

  async #serve(wish) {
    let refusal = null;
    try {
      for (const part of this.parts) {
        if (wish !== this.wanted) return;
        if (part !== wish.without && this.known(part, wish) === undefined) await this.#fill(part, wish);
      }
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.retryAfter) return this.#pause(wish, error.retryAfter);
      refusal = error;
    }
    if (wish !== this.wanted) return;
    this.wanted = null;
    this.onRest(refusal);
  }

  async #fill(part, wish) {
    const { found } = this;
    found.set(keyOf(part, wish), await this[part](wish));
    if (found === this.found) this.onPart();
  }

  /** The server is short of room, or loads still: the same again a little later. */
  async #pause(wish, seconds) {
    const until = performance.now() + 1000 * seconds;
    while (wish === this.wanted && performance.now() < until) await new Promise((go) => setTimeout(go, 100));
  }

  #inspect({ model }, body) {
    const source = this.kind === "chat" ? { messages: this.#turns() } : { text: this.prompt };
    return call("/inspect", { method: "POST", body: { model, ...source, ...body } });
  }

  #turns() {
    return [{ role: "user", content: this.prompt }];
  }

  /** Tokens, layers and heads, which all checkpoints of a job have in common. */
  async shape(wish) {
    const found = await this.#inspect(wish, { tokens: [0], want: ["embeddings"] }); // runs no layer
    if (found.count > MOST_TOKENS) throw new Refusal(`A prompt of up to ${MOST_TOKENS} tokens can be looked at here; this one has ${found.count}`);
    return found;
  }

  async next(wish) {
    const found = await this.#inspect(wish, { tokens: [this.known("shape", wish).count - 1], want: ["next"], top: TOP });
    return found.next[0].top;
  }

  async head(wish) {
    const { tokens, layers, heads } = this.known("shape", wish);
    const [layer, head] = [Math.min(wish.layer, layers.length - 1), Math.min(wish.head, heads.length - 1)];
    const found = await this.#inspect(wish, { layers: [layer], heads: [head], want: WANTED, encoding: "base64" });
    return Object.assign(new AttentionHead(found), { tokens }); // one list for all checkpoints, so that the cell looked at stays
  }

  /** The likeliest tokens in a row, behind the prompt. */
  async text({ model }) {
    this.writing = new AbortController();
    const begun = this.kind === "chat" ? { messages: this.#turns() } : { prompt: this.prompt };
    const write = (more) => call("/generate", { method: "POST", body: { model, ...begun, temperature: 0, ...more }, signal: this.writing.signal });
    const found = await write({ max_new_tokens: this.mostNew }).catch((error) => {
      if (error.code !== "context_length_exceeded") throw error;
      return write({}); // as many as there is room for
    });
    return (this.kind === "chat" ? "" : this.prompt) + found.choices[0].text;
  }

  async classes({ model }) {
    const found = await call("/classify", { method: "POST", body: { model, input: this.prompt } });
    return Object.entries(found.data[0].probabilities).map(([text, share]) => ({ text, logprob: Math.log(share), sampled_logprob: 0 }));
  }
}

function keyOf(part, { model, layer, head }) {
  if (part === "shape") return part;
  return part === "head" ? `${part} ${model} ${layer} ${head}` : `${part} ${model}`;
}

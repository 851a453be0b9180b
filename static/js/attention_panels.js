/** The panels under the text: one head in its stages, matrix and arcs; all heads; the logit lens; the next token. */

import { AttentionHead, WANTED } from "./attention_head.js";
import { AttentionMaps } from "./attention_maps.js";
import { AttentionMatrix } from "./attention_matrix.js";
import { AttentionStages } from "./attention_stages.js";
import { AttentionWords } from "./attention_words.js";
import { byId, debounce, say } from "./dom.js";
import { LogitLens } from "./logit_lens.js";
import { clearNext, drawNext } from "./next_tokens.js";
import { numberIn, tieSliders } from "./numbers.js";
import { accept } from "./refusal.js";

const NEXT_TOKENS = 20;

export class AttentionPanels {
  /** `page` has the text (`source`, `answer`), the `place` that is looked at, and asks the server. */
  constructor(page) {
    const look = (token) => page.place.go({ token });
    this.page = page;
    this.stages = new AttentionStages();
    this.matrix = new AttentionMatrix(look);
    this.words = new AttentionWords(look);
    this.maps = new AttentionMaps((layer, head) => page.place.go({ layer, head }));
    this.lens = new LogitLens();
    this.lensSoon = debounce(() => this.#fill("lens"), 200);
    this.panels = {
      head: { work: () => this.#readHead(), clear: () => this.#clearHead() },
      loss: { work: () => this.#readLosses(), clear: () => this.#clearLosses() },
      lens: { work: () => this.#readLens(), clear: () => this.lens.clear() },
      next: { work: () => this.#readNext(), clear: clearNext },
    };
    tieSliders();
    byId("draw").addEventListener("input", ({ target }) => accept(target));
    byId("draw").addEventListener("input", debounce(() => this.#fill("next"), 200));
    for (const radio of document.querySelectorAll("[name=stage]")) radio.addEventListener("change", () => this.#showMatrix());
  }

  /** Fill all panels in turn with the text of the page, until another one is read. */
  async fill() {
    const { answer } = this.page;
    this.head = this.layer = null;
    for (const name of Object.keys(this.panels)) if (answer === this.page.answer) await this.#fill(name);
  }

  /** Go where the page's place has gone. */
  moved({ layer, head }) {
    this.maps.choose(this.page.place.layer, this.page.place.head);
    if (layer || head) this.#fill("head");
    else this.#showHead();
    this.lensSoon();
  }

  clear() {
    for (const [name, panel] of Object.entries(this.panels)) {
      panel.clear();
      say(byId(`${name}-error`), "");
    }
  }

  #clearHead() {
    this.head = this.layer = null;
    for (const part of [this.stages, this.matrix, this.words]) part.clear();
  }

  #clearLosses() {
    this.page.losses.clear();
    this.maps.clear();
  }

  async #fill(name) {
    const { answer } = this.page;
    if (!answer) return;
    const [notice, { work, clear }] = [byId(`${name}-error`), this.panels[name]];
    say(notice, "");
    try {
      await work();
    } catch (error) {
      if (error.name === "AbortError" || answer !== this.page.answer) return;
      clear();
      this.page.refuse(error, notice);
    }
  }

  #ask(panel, body) {
    return this.page.ask(panel, { ...this.page.source, ...body });
  }

  /** The head, and with a layer's first one what the layer reads: stepping from token to token then asks for nothing. */
  async #readHead() {
    const { answer, place } = this.page;
    const { layer, head } = place;
    const more = [...(this.layer === null ? ["embeddings"] : []), ...(layer === this.layer ? [] : ["input"])];
    const found = await this.#ask("head", { layers: [layer], heads: [head], want: [...WANTED, ...more], encoding: "base64" });
    if (found.embeddings) this.stages.readEmbeddings(found.embeddings);
    if (found.input) this.stages.readInput(found.input);
    this.layer = layer;
    this.head = new AttentionHead(found);
    this.head.tokens = answer.tokens; // one list for all heads, by which a new text is told
    this.#showHead();
  }

  #showHead() {
    if (!this.head) return;
    this.stages.show(this.head, this.page.place.token);
    this.words.show(this.head, this.page.place.token);
    this.#showMatrix();
  }

  #showMatrix() {
    const chosen = document.querySelector("[name=stage]:checked");
    byId("stage-note").textContent = chosen.dataset.about;
    if (this.head) this.matrix.show(this.head, chosen.value, this.page.place.token);
  }

  async #readLosses() {
    const { answer, losses, place } = this.page;
    const found = await this.#ask("loss", { want: ["loss", "maps"], encoding: "base64" });
    losses.draw(answer.tokens, found.loss.tokens);
    losses.choose(place.token);
    this.maps.show(found, place.layer, place.head);
  }

  async #readLens() {
    const { answer, place } = this.page;
    const tokens = this.lens.window(answer.tokens, place.token);
    if (!tokens) return;
    const found = await this.#ask("lens", { tokens, want: ["logit_lens"], top: 3 });
    this.lens.draw(answer.tokens, found.logit_lens, place.token);
  }

  async #readNext() {
    for (const field of byId("draw").elements) accept(field);
    const draw = { temperature: numberIn("temperature"), top_k: numberIn("top-k"), top_p: numberIn("top-p") };
    const found = await this.#ask("next", { tokens: [this.page.answer.count - 1], want: ["next"], top: NEXT_TOKENS, ...draw });
    drawNext(found.next[0].top);
  }
}

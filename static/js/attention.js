/** The page of attention: the form, the text with its losses, and the place that is looked at. The panels come after. */

import { asked, remember } from "./address.js";
import { call, inWords, Refusal } from "./api.js";
import { AttentionPlace } from "./attention_place.js";
import { fillModels } from "./choices.js";
import { curl, quoted } from "./command.js";
import { installCopyButtons } from "./copying.js";
import { byId, debounce, h, say } from "./dom.js";
import { many } from "./format.js";
import { NotANumber } from "./numbers.js";
import { accept, refuse } from "./refusal.js";
import { TokenLosses } from "./token_losses.js";

const FIELDS = { text: "text", model: "model", layers: "layer", heads: "head", tokens: "token", temperature: "temperature", top_k: "top-k", top_p: "top-p" };

class AttentionPage {
  constructor({ model, mostTokens }) {
    this.defaultModel = model;
    this.mostTokens = Number(mostTokens);
    this.form = byId("attention-form");
    this.place = new AttentionPlace((changed) => this.#moved(changed));
    this.losses = new TokenLosses((token) => this.place.go({ token }));
    this.asking = {}; // by panel: the request whose answer is awaited
    this.panels = null; // an `AttentionPanels`
    this.rememberSoon = debounce(() => this.#remember(), 250);
    this.#listen();
  }

  async start() {
    try {
      await fillModels(byId("model"), byId("model-missing"), this.defaultModel, asked().get("model"));
    } catch (error) {
      say(byId("attention-error"), `The list of models did not come. ${inWords(error)}`);
      return;
    }
    await this.#readAddress();
  }

  #listen() {
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.run({ step: true });
    });
    this.form.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.run({ step: true });
    });
    this.form.addEventListener("input", (event) => accept(event.target));
    window.addEventListener("popstate", () => this.#readAddress());
  }

  async #readAddress() {
    const query = asked();
    if (query.has("text")) byId("text").value = query.get("text");
    if (query.get("model")) this.#offer(query.get("model"));
    this.place.from(query);
    await this.run();
  }

  /** Have a model be the chosen one, also where it is in no list. */
  #offer(name) {
    const select = byId("model");
    if (![...select.options].some((option) => option.value === name)) select.prepend(h("option", { value: name }, name));
    select.value = name;
  }

  /** Read the text anew; the panels follow one after the other, as they all compute on the same cores. */
  async run({ step = false } = {}) {
    for (const field of this.form.elements) accept(field);
    say(byId("attention-error"), "");
    const checkpoint = byId("checkpoint").value.trim();
    const source = { model: checkpoint || byId("model").value, text: byId("text").value };
    byId("attention-status").textContent = "Reading …";
    try {
      const answer = await this.ask("text", { ...source, tokens: [0], want: ["embeddings"] }); // runs no layer
      if (answer.count > this.mostTokens) {
        const message = `this page shows up to ${this.mostTokens} tokens, and the text has ${answer.count}; the API takes more`;
        throw new Refusal(message, { param: "text" });
      }
      this.#begin(source, answer);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.#clear();
      byId("attention-status").textContent = "";
      this.refuse(error, byId("attention-error"), checkpoint ? { ...FIELDS, model: "checkpoint" } : FIELDS);
      return;
    }
    this.#remember({ step });
    byId("attention-status").textContent = "Looking at the layers …";
    const { answer } = this;
    await this.#fill();
    if (answer !== this.answer) return; // a newer text is being read
    const { count, layers, heads } = answer;
    byId("attention-status").textContent = `${many(count, "token")} · ${many(layers.length, "layer")} of ${many(heads.length, "head")}`;
  }

  #begin(source, answer) {
    if (byId("checkpoint").value.trim()) this.#offer(source.model);
    byId("checkpoint").value = "";
    Object.assign(this, { source, answer });
    this.place.within(answer);
    this.losses.draw(answer.tokens);
    this.losses.choose(this.place.token);
    this.#command();
  }

  async #fill() {
    const { AttentionPanels } = await import("./attention_panels.js");
    this.panels ??= new AttentionPanels(this);
    await this.panels.fill();
  }

  #moved(changed) {
    this.losses.choose(this.place.token);
    this.rememberSoon();
    this.#command();
    this.panels?.moved(changed);
  }

  /** Leave nothing of the text before: no picture of it is to stand under a refusal of another. */
  #clear() {
    this.source = this.answer = null;
    this.losses.clear();
    this.place.clear();
    this.panels?.clear();
    byId("attention-command").textContent = "";
  }

  /** An answer to the newest request of a panel; an older one of the same panel is given up. */
  ask(panel, body) {
    this.asking[panel]?.abort();
    this.asking[panel] = new AbortController();
    return call("/inspect", { method: "POST", body, signal: this.asking[panel].signal });
  }

  /** Say what is wrong at the field that it is about, else in the notice. */
  refuse(error, notice, fields = FIELDS) {
    const id = fields[error.param?.split(".")[0]];
    if (!id) return say(notice, error instanceof NotANumber ? error.message : inWords(error));
    refuse(byId(id), error.message, error.param);
    byId(id).focus();
  }

  #remember(how) {
    if (this.source) remember({ text: this.source.text, model: this.source.model, ...this.place.state }, how);
  }

  #command() {
    const { model, text } = this.source;
    const { layer, head, token } = this.place;
    const body = { model, text, want: ["queries", "keys", "values", "products", "scores", "attention", "context"], layers: [layer], heads: [head], tokens: [token] };
    const own = `inkling inspect --model ${quoted(model)} --layer ${layer} --head ${head} -- ${quoted(text)}`;
    byId("attention-command").textContent = `${curl("/inspect", body)}\n\n${own}`;
  }
}

installCopyButtons();
await new AttentionPage(byId("attention").dataset).start();

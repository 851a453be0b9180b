/** The playground: from the form to a request, from the stream to the page, with Stop at any time. */

import { inWords } from "./api.js";
import { fillModels, fillRemoteModels } from "./choices.js";
import { curl } from "./command.js";
import { byId, say } from "./dom.js";
import { many } from "./format.js";
import { GenerationView } from "./generation_view.js";
import { mark, NotANumber, numberIn, tieSliders, unmark } from "./numbers.js";
import { write } from "./writing.js";

const FIELDS = {
  model: "model",
  prompt: "prompt",
  messages: "prompt",
  temperature: "temperature",
  top_k: "top-k",
  top_p: "top-p",
  max_new_tokens: "max-new-tokens",
  seed: "seed",
  top_logprobs: "top-logprobs",
};
const NUMBERS = ["temperature", "max_new_tokens", "top_k", "top_p", "seed", "top_logprobs"];

class Playground {
  constructor({ model, remote }) {
    this.defaultModel = model;
    this.isRemote = remote !== undefined;
    this.form = byId("generate-form");
    this.view = new GenerationView(byId("output"), byId("output-readout"));
    this.running = null;
    this.models = [];
    tieSliders();
    this.#listen();
  }

  start() {
    this.listed = this.#list();
    return this.listed;
  }

  async #list() {
    const asked = new URLSearchParams(location.search).get("model");
    try {
      this.models = this.isRemote
        ? await fillRemoteModels(byId("model"), this.defaultModel, asked)
        : await fillModels(byId("model"), byId("model-missing"), this.defaultModel, asked);
    } catch (error) {
      say(byId("generate-error"), `The list of models did not come. ${inWords(error)}`);
    }
    this.#changed();
  }

  #listen() {
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.run();
    });
    this.form.addEventListener("input", () => this.#changed());
    this.form.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.run();
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.running?.abort();
    });
    byId("stop").addEventListener("click", () => this.running?.abort());
    byId("tint").addEventListener("change", ({ target }) => {
      byId("output").classList.toggle("tinted", target.checked);
      byId("tint-legend").hidden = !target.checked;
    });
  }

  /** Bring the labels, hints and the command up to what is chosen. */
  #changed() {
    const isChat = this.#isChat();
    const chosen = this.models.find((model) => model.name === byId("model").value);
    byId("prompt-label").textContent = isChat ? "Message" : "Prompt";
    byId("mode-note").textContent = isChat && chosen?.chat === false ? "This model has no chat format; continue a text instead." : "";
    const about = chosen?.config ? [`context of ${many(chosen.config.context_length, "token")}`, `tokenizer ${chosen.tokenizer}`] : [];
    if (this.isRemote) about.push("written by another server");
    else if (chosen && chosen.state !== "loaded") about.push("not in memory yet, so the first answer takes longer");
    byId("model-note").textContent = about.join(" · ");
    try {
      byId("generate-command").textContent = curl("/generate", this.#body());
    } catch (error) {
      if (!(error instanceof NotANumber)) throw error;
      byId("generate-command").textContent = error.message;
    }
  }

  #isChat() {
    return this.form.elements.mode.value === "chat";
  }

  #body() {
    const text = byId("prompt").value;
    const body = { model: byId("model").value, stream: true };
    if (this.#isChat()) body.messages = [{ role: "user", content: text }];
    else body.prompt = text;
    for (const name of NUMBERS) {
      const value = numberIn(FIELDS[name]);
      if (value !== undefined) body[name] = value;
    }
    return body;
  }

  async run() {
    if (this.running) return;
    unmark(this.form);
    say(byId("generate-error"), "");
    this.running = new AbortController();
    this.#setRunning(true);
    try {
      await this.listed; // whoever is faster than the list of models has chosen none
      const body = this.#body();
      const tell = (message) => this.#status(message);
      const ending = await write(body, this.view, { signal: this.running.signal, prompt: body.prompt ?? null, tell });
      this.#status(ending.seed === null ? ending.words : `${ending.words} · seed ${ending.seed}`);
      this.#loaded(body.model);
    } catch (error) {
      this.#status("");
      mark(error.param, FIELDS);
      say(byId("generate-error"), error instanceof NotANumber ? error.message : inWords(error));
    } finally {
      this.#setRunning(false);
      this.running = null;
    }
  }

  /** A model that has answered is in memory. */
  #loaded(name) {
    const model = this.models.find((one) => one.name === name);
    if (model) model.state = "loaded";
    this.#changed();
  }

  #setRunning(isRunning) {
    const hadFocus = document.activeElement;
    byId("go").disabled = isRunning;
    byId("stop").disabled = !isRunning;
    if (hadFocus === byId("go") && isRunning) byId("stop").focus();
    if (hadFocus === byId("stop") && !isRunning) byId("go").focus();
  }

  #status(message) {
    byId("generate-status").textContent = message;
  }
}

export function startPlayground(chosen) {
  return new Playground(chosen).start();
}

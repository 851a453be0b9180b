/** The form that trains a tokenizer: kind, text, size, special tokens. */

import { call, inWords } from "./api.js";
import { curl } from "./command.js";
import { fillDatasets } from "./dataset_choices.js";
import { byId, say } from "./dom.js";
import { count, size } from "./format.js";
import { NotANumber, numberIn } from "./numbers.js";
import { accept, refuse } from "./refusal.js";

const FIELDS = { name: "name", dataset: "dataset", vocab_size: "vocab-size", special_tokens: "special-tokens", version: "version" };

export class TokenizerForm {
  /** `onMade(tokenizer)` is called when one is there. */
  constructor(onMade) {
    this.form = byId("tokenizer-form");
    this.onMade = onMade;
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.train();
    });
    this.form.addEventListener("input", ({ target }) => {
      accept(target);
      this.#changed();
    });
  }

  async fill() {
    try {
      await fillDatasets(byId("dataset"));
    } catch (error) {
      say(byId("train-error"), `The list of texts did not come. ${inWords(error)}`);
    }
    this.#changed();
  }

  #body() {
    const kind = this.form.elements.kind.value;
    const body = { name: byId("name").value.trim(), kind, dataset: byId("dataset").value };
    if (kind === "word") return { ...body, version: Number(byId("version").value) };
    const specials = byId("special-tokens").value.split("\n").map((line) => line.trim());
    return { ...body, vocab_size: numberIn("vocab-size"), special_tokens: specials.filter(Boolean) };
  }

  #changed() {
    const isWord = this.form.elements.kind.value === "word";
    byId("of-bpe").hidden = isWord;
    byId("of-word").hidden = !isWord;
    try {
      byId("train-command").textContent = curl("/tokenizers", this.#body());
    } catch (error) {
      if (!(error instanceof NotANumber)) throw error;
      byId("train-command").textContent = error.message;
    }
  }

  async train() {
    for (const field of this.form.elements) accept(field);
    say(byId("train-error"), "");
    const button = byId("train");
    button.disabled = true;
    byId("train-note").textContent = "Learning …";
    try {
      const made = await call("/tokenizers", { method: "POST", body: this.#body() });
      byId("train-note").textContent = `${made.name} has ${count(made.vocab_size)} ids, learnt from ${size(made.trained_bytes)}.`;
      await this.onMade(made);
    } catch (error) {
      byId("train-note").textContent = "";
      const field = FIELDS[error.param?.split(".")[0]];
      if (field) refuse(byId(field), error.message, error.param);
      else say(byId("train-error"), error instanceof NotANumber ? error.message : inWords(error));
    } finally {
      button.disabled = false;
    }
  }
}

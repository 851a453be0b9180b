/** The page that generates: its form and its text. The parts below them come once these can be used. */

import { inWords } from "./api.js";
import { installCopyButtons } from "./copying.js";
import { byId, debounce, say } from "./dom.js";
import { many } from "./format.js";
import { GenerateForm } from "./generate_form.js";
import { choices, ModelChoice } from "./model_choice.js";
import { tieSliders } from "./numbers.js";
import { TextPanel } from "./text_panel.js";

class GeneratePage {
  constructor({ maxBytes, branch, remote }) {
    this.isRemote = remote !== undefined;
    this.first = branch;
    this.offered = null; // models and jobs, once their lists have come
    this.form = new GenerateForm(byId("generate-form"), Number(maxBytes));
    this.model = new ModelChoice("model", () => this.changed());
    this.text = new TextPanel(this.form, () => this.request(), { isRemote: this.isRemote, onLine: (place) => this.#onLine(place), onDraw: (i) => this.parts?.showDraw(i) });
    this.parts = null; // a `GenerateParts`
    this.soon = debounce(() => this.#toAddress(), 300);
    this.#listen();
  }

  async start() {
    for (const part of document.querySelectorAll("[data-scripted]")) part.hidden = false;
    tieSliders();
    try {
      this.offered = await choices(this.isRemote);
      await this.model.offer(this.offered, byId("model").value || this.offered.models[0]?.name || "", byId("model-missing"));
    } catch (error) {
      this.offered = { models: [], jobs: [] };
      say(byId("generate-error"), `The list of models did not come. ${inWords(error)}`);
    }
    if (this.first) {
      await this.text.open(this.first, { isNew: false });
      this.form.overrule(new URLSearchParams(location.search));
    }
    this.#follow();
    await this.#addParts();
  }

  async #addParts() {
    let parts;
    try {
      parts = await import("./generate_parts.js");
    } catch {
      return say(byId("generate-error"), "The lower parts of this page did not come: the server may be gone. Load the page again.");
    }
    this.parts = new parts.GenerateParts(this);
    await this.parts.start();
  }

  #listen() {
    const { form } = this.form;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.text.run();
    });
    form.addEventListener("input", (event) => event.target.name !== "command" && this.changed());
    form.addEventListener("keydown", (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && this.text.run());
    window.addEventListener("popstate", () => {
      const branch = new URLSearchParams(location.search).get("branch");
      if (branch !== (this.text.line?.branch ?? null)) location.reload(); // and not for a place on the page
    });
    byId("tint").addEventListener("change", ({ target }) => {
      byId("generate").classList.toggle("plain", !target.checked);
      byId("tint-legend").hidden = !target.checked;
    });
  }

  /** What the form asks for, with a seed in any case: so it is known, however the text ends. Throws NotANumber. */
  request() {
    const settings = this.form.sampling();
    settings.seed ??= crypto.getRandomValues(new Uint32Array(1))[0];
    return { asked: this.form.asked(), model: this.model.name, settings };
  }

  /** A person changed something. */
  changed() {
    this.text.sent = null;
    this.form.unmark();
    say(byId("generate-error"), "");
    this.#follow();
    this.soon();
  }

  /** Another text is on the page. */
  #onLine(place) {
    this.form.settle();
    this.parts?.onLine(place);
    this.#follow();
  }

  /** Bring hints and the parts below up to what the form says. */
  #follow() {
    const { model } = this.model;
    byId("mode-note").textContent = this.form.isChat && model?.chat === false ? "This model has no chat format; continue a text instead." : "";
    const about = model?.config ? [`context of ${many(model.config.context_length, "token")}`, `tokenizer ${model.tokenizer}`] : [];
    if (this.isRemote) about.push("written by another server");
    else if (model && model.state !== "loaded") about.push("not in memory yet, so the first answer takes longer");
    byId("model-note").textContent = about.join(" · ");
    this.parts?.follow();
  }

  #toAddress() {
    if (!this.offered) return this.soon();
    const { line } = this.text;
    const branch = line?.branch && this.form.asks(line.asked) ? line.branch : null;
    const more = this.parts?.address() ?? {};
    if (this.model.name !== (branch ? line.model : this.offered.models[0]?.name)) more.model = this.model.name;
    history.replaceState(null, "", this.form.address({ branch, more }));
  }
}

installCopyButtons();
await new GeneratePage(byId("generate").dataset).start();

/** The form that imports a model: by upload, from a folder of the server, or from the hub. */

import { call, inWords } from "./api.js";
import { fillTokenizers } from "./choices.js";
import { curl, quoted } from "./command.js";
import { byId, h, say } from "./dom.js";
import { many, size } from "./format.js";
import { mark, unmark } from "./numbers.js";

const FIELDS = {
  name: "name",
  tokenizer: "tokenizer",
  files: "files",
  "source.folder": "folder",
  "source.hub": "hub",
  "source.revision": "revision",
  "source.file": "hub-file",
  source: "folder",
  licence: "licence",
};

const written = (id) => byId(id).value.trim();
const given = (fields) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value));

export class ImportForm {
  /** `onMade(model)` is called for each model that came in. */
  constructor(onMade) {
    this.onMade = onMade;
    this.form = byId("import-form");
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.start();
    });
    this.form.addEventListener("input", () => this.#changed());
    byId("files").addEventListener("change", () => this.#suggest());
    byId("folder").addEventListener("change", () => this.#suggest());
    byId("hub").addEventListener("change", () => this.#suggest());
    this.#changed();
  }

  async fill() {
    const own = byId("tokenizer").options[0];
    await fillTokenizers(byId("tokenizer"), h("div"));
    byId("tokenizer").prepend(own);
    byId("tokenizer").value = "";
  }

  #way() {
    return this.form.elements.way.value;
  }

  #changed() {
    for (const field of this.form.querySelectorAll("[data-way]")) field.hidden = field.dataset.way !== this.#way();
    byId("import-command").textContent = this.#command();
  }

  /** A name made of what was chosen, where none is written yet. */
  #suggest() {
    if (byId("name").value) return;
    const files = [...byId("files").files];
    const weights = files.find((file) => /\.(gguf|safetensors)$/.test(file.name));
    const from = { upload: weights?.name.replace(/\.\w+$/, "") ?? "", folder: byId("folder").value, hub: byId("hub").value }[this.#way()];
    byId("name").value = from.split("/").at(-1).replace(/\.gguf$/, "").replace(/[^\w.-]/g, "-").slice(0, 96);
    this.#changed();
  }

  #body() {
    const fromHub = { hub: written("hub"), ...given({ revision: written("revision"), file: written("hub-file") }) };
    return { name: written("name"), source: this.#way() === "hub" ? fromHub : { folder: written("folder") }, ...this.#asked() };
  }

  /** What may be left out, whichever way the files come. */
  #asked() {
    return given({ tokenizer: byId("tokenizer").value, licence: written("licence") });
  }

  #command() {
    if (this.#way() !== "upload") return curl("/models", this.#body());
    const files = [...byId("files").files].map((file) => `-F ${quoted(`files=@${file.name}`)}`);
    const fields = Object.entries({ name: written("name"), ...this.#asked() }).map(([name, value]) => `-F ${quoted(`${name}=${value}`)}`);
    return [`curl -s ${location.origin}/models/upload`, ...fields, ...files].join(" \\\n  ");
  }

  #request() {
    if (this.#way() !== "upload") return ["/models", { method: "POST", body: this.#body() }];
    const form = new FormData();
    form.append("name", written("name"));
    for (const [name, value] of Object.entries(this.#asked())) form.append(name, value);
    for (const file of byId("files").files) form.append("files", file);
    return ["/models/upload", { method: "POST", form }];
  }

  #tooLarge() {
    const most = Number(byId("models").dataset.maxBytes);
    const bytes = [...byId("files").files].reduce((sum, file) => sum + file.size, 0);
    return this.#way() === "upload" && bytes > most ? `These files have ${size(bytes)}; an upload may have ${size(most)}.` : "";
  }

  async start() {
    unmark(this.form);
    say(byId("import-error"), this.#tooLarge());
    if (this.#tooLarge()) return;
    const button = byId("import");
    button.disabled = true;
    byId("import-status").textContent = this.#way() === "hub" ? "Fetching and converting …" : "Reading and converting …";
    try {
      const model = await call(...this.#request());
      byId("import-status").textContent = `${model.name} is here: ${many(model.parameters, "parameter")}.`;
      this.form.reset();
      this.#changed();
      await this.onMade(model);
    } catch (error) {
      byId("import-status").textContent = "";
      mark(error.param, FIELDS);
      say(byId("import-error"), inWords(error));
    } finally {
      button.disabled = false;
    }
  }
}

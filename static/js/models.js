/** The page of all models: the list with what can be done, and the form beside it. */

import { all, call, inWords } from "./api.js";
import { installCopyButtons } from "./copying.js";
import { byId, say } from "./dom.js";
import { isMeant } from "./meant.js";
import { ImportForm } from "./model_import.js";
import { modelSheet } from "./model_sheet.js";

const EVERY_MS = 1500;

class ModelList {
  constructor() {
    document.addEventListener("visibilitychange", () => document.hidden || this.refresh());
  }

  /** Fetch the list and draw it; again soon while one is being loaded. */
  async refresh() {
    clearTimeout(this.timer);
    try {
      const models = await all("/models", { key: "name" });
      this.#draw(models);
      if (models.some((model) => model.state === "loading")) this.timer = setTimeout(() => this.refresh(), EVERY_MS);
    } catch (error) {
      byId("list-empty").hidden = true;
      say(byId("list-error"), inWords(error));
    }
  }

  /** Draw the sheets anew; what was unfolded stays so. */
  #draw(models) {
    byId("list-empty").hidden = models.length > 0;
    const open = [...byId("list").querySelectorAll("details[open]")].map(place);
    byId("list").replaceChildren(...models.map((model) => modelSheet(model, (...asked) => this.act(...asked))));
    for (const details of byId("list").querySelectorAll("details")) details.open = open.includes(place(details));
  }

  async act(what, model, button) {
    if (what === "delete" && !isMeant(button)) return;
    say(byId("list-error"), "");
    button.disabled = true;
    button.textContent = { load: "Loading …", unload: "Taking it out …", delete: "Deleting …" }[what];
    const address = `/models/${encodeURIComponent(model.name)}`;
    try {
      await (what === "delete" ? call(address, { method: "DELETE" }) : call(`${address}/${what}`, { method: "POST" }));
    } catch (error) {
      say(byId("list-error"), inWords(error));
    }
    await this.refresh();
  }
}

function place(details) {
  return `${details.closest("article").id} ${details.querySelector("summary").textContent}`;
}

installCopyButtons();
const list = new ModelList();
const form = new ImportForm(() => list.refresh());
await Promise.all([list.refresh(), form.fill()]);

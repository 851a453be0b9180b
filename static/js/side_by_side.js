/** One prompt by two models, or two checkpoints, with one seed; where the texts part is marked. */

import { byId, say } from "./dom.js";
import { ModelChoice } from "./model_choice.js";
import { NotANumber } from "./numbers.js";
import { writeAll, WrittenColumn } from "./written_column.js";

export class SideBySide {
  /** `request()` is what the form asks for, `{asked, model, settings}`, its seed said; it may throw NotANumber. */
  constructor(request, { onOpen, onChange }) {
    Object.assign(this, { request, onOpen });
    this.other = new ModelChoice("against", onChange);
    byId("beside-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.run();
    });
  }

  async run() {
    if (byId("beside-go").disabled) return;
    say(byId("beside-error"), "");
    byId("beside-status").textContent = "";
    let request;
    try {
      request = this.request();
    } catch (error) {
      if (!(error instanceof NotANumber)) throw error;
      return say(byId("beside-error"), error.message);
    }
    const requests = [request, { ...request, model: this.other.name }];
    const columns = requests.map(({ model }) => new WrittenColumn(model, byId("beside-readout"), this.onOpen));
    byId("beside-columns").replaceChildren(...columns.map((column) => column.element));
    const endings = await writeAll(columns, requests, byId("beside-go"), byId("beside-stop"));
    if (endings.every(Boolean)) byId("beside-status").textContent = `${this.#compare(columns)} Both with the seed ${request.settings.seed}.`;
  }

  #compare(columns) {
    const [one, other] = columns.map(({ view }) => view.tokens);
    const length = Math.min(one.length, other.length);
    const parting = one.findIndex((token, i) => i < length && String(token.bytes ?? token.text) !== String(other[i].bytes ?? other[i].text));
    if (parting >= 0) {
      for (const { view } of columns) view.markParting(parting);
      return `They part at token ${parting + 1}.`;
    }
    if (one.length === other.length) return "Both wrote the same tokens.";
    for (const { view } of columns) view.markParting(length);
    return `The same up to token ${length}, where one ends.`;
  }
}

/** One of several texts side by side: its name, the text as it comes, how it ended, and the way to the form above. */

import { inWords } from "./api.js";
import { h, say } from "./dom.js";
import { GenerationView } from "./generation_view.js";
import { write } from "./writing.js";

export class WrittenColumn {
  /** `readout` is shared by all; `onOpen(line)` is called with a text that is to be gone on with. */
  constructor(name, readout, onOpen) {
    this.box = h("div", { class: "output tinted", dir: "auto", role: "region", "aria-label": `Text of ${name}`, tabindex: "0" });
    this.error = h("div", { class: "notice notice--bad", role: "alert", hidden: true });
    this.status = h("p", { class: "note", role: "status" });
    this.open = h("button", { type: "button", class: "button button--plain button--small", hidden: true }, "Open it above");
    this.element = h("article", { class: "stack" }, h("h3", {}, name), this.box, this.error, this.status, this.open);
    this.view = new GenerationView(this.box, readout);
    this.open.addEventListener("click", () => onOpen(this.line));
  }

  /** Write what `{asked, model, settings}` asks for. Hands back how it ended, or null where it was refused. */
  async write({ asked, model, settings }, signal) {
    const { n, ...drawn } = settings; // one text a column
    const tell = (message) => (this.status.textContent = message);
    try {
      const body = { model, ...asked, ...drawn, stream: true };
      const ending = await write(body, this.view, { signal, prompt: null, tell });
      tell(ending.words);
      this.line = { asked, model, settings: drawn, tokens: this.view.tokens, reason: ending.reason };
      this.open.hidden = this.view.tokens.length === 0;
      return ending;
    } catch (error) {
      tell("");
      say(this.error, inWords(error));
      return null;
    }
  }
}

/** Have columns written at once, `stop` being the button that ends all of them; `go` is off meanwhile. */
export async function writeAll(columns, requests, go, stop) {
  const running = new AbortController();
  const end = () => running.abort();
  go.disabled = true;
  stop.disabled = false;
  stop.addEventListener("click", end);
  try {
    return await Promise.all(columns.map((column, i) => column.write(requests[i], running.signal)));
  } finally {
    stop.removeEventListener("click", end);
    go.disabled = false;
    stop.disabled = true;
  }
}

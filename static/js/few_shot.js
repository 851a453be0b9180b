/** One question with none, one and all of some examples before it, side by side. */

import { byId, h, say } from "./dom.js";
import { many } from "./format.js";
import { NotANumber, numberIn } from "./numbers.js";
import { writeAll, WrittenColumn } from "./written_column.js";

const FIRST = [["cat", "CAT!"], ["sea", "SEA!"], ["tree", "TREE!"]];
const NAMED = ["shot-task", "shot-in", "shot-out", "shot-question", "shot-tokens"];

export class FewShot {
  /** `request()` is what the form above asks for, as of `SideBySide`; `onChange()` is called when examples changed. */
  constructor(request, { onOpen, onChange }) {
    Object.assign(this, { request, onOpen, onChange });
    this.form = byId("few-shot-form");
    this.rows = byId("shot-rows");
    for (const example of FIRST) this.#add(...example);
    this.first = this.state;
    this.#restore(new URLSearchParams(location.search).get("shots"));
    byId("shot-add").addEventListener("click", () => {
      this.#add("", "").querySelector("input").focus();
      this.#count();
    });
    this.form.addEventListener("input", () => this.#count());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.run();
    });
    this.#count();
  }

  #add(given, wanted) {
    const field = (value, label) => h("input", { type: "text", value, "aria-label": label, dir: "auto", autocomplete: "off" });
    const remove = h("button", { type: "button", class: "button button--plain button--small", "aria-label": "Remove this example" }, "Remove");
    const row = h("div", { class: "shots__row" }, field(given, "What goes in"), field(wanted, "What comes out"), remove);
    remove.addEventListener("click", () => {
      row.remove();
      this.#count();
    });
    this.rows.append(row);
    return row;
  }

  /** All that stands in the panel, for the address. */
  get state() {
    const rows = [...this.rows.children].map((row) => [...row.querySelectorAll("input")].map((input) => input.value));
    return JSON.stringify([this.form.elements.as.value, ...NAMED.map((id) => byId(id).value), ...rows]);
  }

  /** An address is anybody's: what does not fit is left out. */
  #restore(state) {
    let told;
    try {
      told = JSON.parse(state ?? "null");
    } catch {
      return;
    }
    if (!Array.isArray(told)) return;
    const [as, ...values] = told;
    if (["text", "chat"].includes(as)) this.form.elements.as.value = as;
    NAMED.forEach((id, i) => (byId(id).value = String(values[i] ?? "")));
    this.rows.replaceChildren();
    for (const row of values.slice(NAMED.length)) if (Array.isArray(row)) this.#add(...[0, 1].map((i) => String(row[i] ?? "")));
  }

  /** Examples that are whole. */
  #examples() {
    const rows = [...this.rows.children].map((row) => [...row.querySelectorAll("input")].map((input) => input.value));
    return rows.filter(([given, wanted]) => given && wanted);
  }

  #count() {
    const whole = this.#examples().length;
    const unfinished = this.rows.children.length - whole;
    this.onChange();
    byId("shot-note").textContent = `${many(whole, "example")}${unfinished ? `, ${unfinished} unfinished and left out` : ""}`;
  }

  #asked(examples) {
    const [task, question, given, wanted] = ["shot-task", "shot-question", "shot-in", "shot-out"].map((id) => byId(id).value);
    if (this.form.elements.as.value === "chat") {
      const turns = examples.flatMap(([one, other]) => [{ role: "user", content: one }, { role: "assistant", content: other }]);
      return { messages: [...(task ? [{ role: "system", content: task }] : []), ...turns, { role: "user", content: question }] };
    }
    const shots = examples.map(([one, other]) => `${given}: ${one}\n${wanted}: ${other}\n\n`).join("");
    return { prompt: `${task ? `${task}\n\n` : ""}${shots}${given}: ${question}\n${wanted}:` };
  }

  async run() {
    if (byId("shot-go").disabled) return;
    say(byId("shot-error"), "");
    let request, most;
    try {
      request = this.request();
      most = numberIn("shot-tokens");
    } catch (error) {
      if (!(error instanceof NotANumber)) throw error;
      return say(byId("shot-error"), error.message);
    }
    const examples = this.#examples();
    const counts = [...new Set([0, 1, examples.length])].filter((shots) => shots <= examples.length);
    const { model, settings } = request;
    const stop = this.form.elements.as.value === "text" ? [...new Set([...(settings.stop ?? []), "\n"])] : settings.stop;
    const drawn = { ...settings, ...(stop && { stop }), max_new_tokens: most };
    const requests = counts.map((shots) => ({ asked: this.#asked(examples.slice(0, shots)), model, settings: drawn }));
    const columns = counts.map((shots) => new WrittenColumn(many(shots, "example"), byId("shot-readout"), this.onOpen));
    requests.forEach(({ asked }, i) => columns[i].element.querySelector("h3").after(prompted(asked)));
    byId("shot-columns").replaceChildren(...columns.map((column) => column.element));
    await writeAll(columns, requests, byId("shot-go"), byId("shot-stop"));
  }
}

/** What the model reads, folded away. */
function prompted({ prompt, messages }) {
  const text = prompt ?? messages.map(({ role, content }) => `${role}: ${content}`).join("\n");
  return h("details", { class: "shots__prompt" }, h("summary", {}, "What the model reads"), h("pre", { dir: "auto", tabindex: "0" }, text));
}

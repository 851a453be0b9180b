/** The sliding windows of chapter 2, drawn over the text: a line under the tokens of each window of a batch. */

import { call, inWords } from "./api.js";
import { curl } from "./command.js";
import { byId, debounce, h, say } from "./dom.js";
import { many } from "./format.js";
import { visible } from "./glyphs.js";
import { NotANumber, numberIn } from "./numbers.js";
import { accept, refuse } from "./refusal.js";
import { TokenLists } from "./token_lists.js";

const PAUSE_MS = 250;
const LANES = 6; // lines that there is room for under a token,
const LINE = 68; // in a line of text so high
const FIELDS = { max_length: "max-length", stride: "stride", batch_size: "batch-size", seed: "window-seed" };
const BOXES = ["shuffle", "drop_last"];
const SHOWN_PAIRS = 64; // of a window, in the table

export class TokenWindows {
  /** `onChange()` is called when a setting changed. */
  constructor(onChange) {
    this.form = byId("windows-form");
    this.lists = new TokenLists(byId("window-list"), null, { dress: (item, i) => this.#dress(item, i), line: LINE });
    this.batch = 0;
    this.lanes = [];
    this.soon = debounce(() => this.#ask(), PAUSE_MS);
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("input", (event) => {
      accept(event.target);
      this.#begin();
      onChange();
    });
    byId("batch-back").addEventListener("click", () => this.#go(-1));
    byId("batch-on").addEventListener("click", () => this.#go(1));
  }

  /** What the address is to say. */
  get state() {
    const values = Object.entries(FIELDS).map(([name, id]) => [name, byId(id).value === byId(id).defaultValue ? "" : byId(id).value]);
    const boxes = BOXES.map((name) => [name, byId(name).checked === byId(name).defaultChecked ? "" : byId(name).checked]);
    return Object.fromEntries([...values, ...boxes]);
  }

  from(query) {
    for (const [name, id] of Object.entries(FIELDS)) if (query.get(name)) byId(id).value = query.get(name);
    for (const name of BOXES) if (query.get(name)) byId(name).checked = query.get(name) === "true";
    this.#fit();
  }

  /** Slide over this text, whose tokens are these. */
  read(body, tokens) {
    this.body = body;
    if (tokens.length) this.lists.show(tokens, body.text);
    else this.lists.clear("No text, no windows");
    this.#begin();
  }

  clear() {
    this.body = null;
    this.lists.clear("No text, no windows");
    this.#told(null);
  }

  /** From the first batch on, in an order that is drawn anew. */
  #begin() {
    this.batch = 0;
    this.drawn = null;
    this.#fit();
    this.soon();
  }

  /** A seed is of shuffling alone. */
  #fit() {
    byId("window-seed").disabled = !byId("shuffle").checked;
  }

  #settings() {
    const fields = Object.entries(FIELDS).filter(([, id]) => !byId(id).disabled);
    const boxes = BOXES.map((name) => [name, byId(name).checked]);
    return Object.fromEntries([...fields.map(([name, id]) => [name, numberIn(id)]), ...boxes]);
  }

  async #ask() {
    this.asking?.abort();
    if (!this.body?.text) return this.#told(null);
    const asking = (this.asking = new AbortController());
    for (const id of Object.values(FIELDS)) accept(byId(id));
    try {
      const body = { ...this.body, ...this.#settings() };
      byId("windows-command").textContent = curl("/windows", body);
      if (body.shuffle) body.seed ??= this.drawn ?? undefined;
      const page = this.batch ? { limit: 1, after: this.batch - 1 } : { limit: 1 };
      const answer = await call("/windows", { method: "POST", body: { ...body, ...page }, signal: asking.signal });
      this.drawn = answer.seed;
      this.#told(answer);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.#told(null);
      const field = FIELDS[error.param];
      if (field) refuse(byId(field), error.message, error.param);
      else say(byId("windows-error"), error instanceof NotANumber ? error.message : inWords(error).replace(/^text: /, ""));
    }
  }

  #go(by) {
    this.batch += by;
    this.#ask();
  }

  /** Draw a batch, or that there is none. */
  #told(answer) {
    say(byId("windows-error"), "");
    const batch = answer?.data[0];
    const length = batch?.inputs[0].length ?? 0;
    const stride = byId("stride").valueAsNumber;
    this.lanes = batch?.windows.map((window) => ({ window, start: window * stride, end: window * stride + length })) ?? [];
    byId("batch-back").disabled = !answer || this.batch === 0;
    byId("batch-on").disabled = !answer || this.batch >= answer.batches - 1;
    byId("batch-told").textContent = answer ? told(answer, this.batch) : "";
    byId("window-pairs").replaceChildren(...(batch ? batch.windows.map((_, i) => pairs(batch, this.lanes[i], i)) : []));
    this.lists.redress();
    if (this.lanes.length) this.lists.reveal(this.lanes[0].start);
  }

  /** A line under a token for each window it is in, and a dotted one where it is but the last target. */
  #dress(item, i) {
    const lines = this.lanes.slice(0, LANES).flatMap(({ start, end }, lane) => (i >= start && i <= end ? [{ lane, isTarget: i === end }] : []));
    item.style.backgroundImage = lines.map(({ lane, isTarget }) => paint(lane, isTarget)).join();
    item.style.backgroundSize = lines.map(() => "100% 3px").join();
    item.style.backgroundPosition = lines.map(({ lane }) => `0 calc(100% - ${(LANES - 1 - lane) * 5}px)`).join();
  }
}

function paint(lane, isTarget) {
  const colour = `var(--ink-${lane + 1})`;
  return isTarget ? `repeating-linear-gradient(90deg, ${colour} 0 3px, transparent 3px 6px)` : `linear-gradient(${colour}, ${colour})`;
}

function told({ windows, batches, tokens, seed }, batch) {
  if (!windows) return "The text is shorter than a window.";
  if (!batches) return `${many(windows, "window")}, fewer than a batch: the last batch is left out where it is not full.`;
  const shuffled = seed === null ? "" : ` Shuffled by seed ${seed}.`;
  return `Batch ${batch + 1} of ${batches}; ${many(windows, "window")} over ${many(tokens, "token")}.${shuffled}`;
}

/** Inputs over targets of one window, token by token; a part of a character by its id. */
function pairs(batch, { window, start, end }, i) {
  const word = (text, id) => h("td", {}, ...(text.includes("\ufffd") ? [String(id)] : visible(text)));
  const line = (name, ids, texts) =>
    h("tr", {}, h("th", { scope: "row" }, name), ...texts.slice(0, SHOWN_PAIRS).map((text, place) => word(text, ids[place])));
  const name = `Window ${window}, tokens ${start} to ${end - 1}`;
  const rows = [line("input", batch.inputs[i], batch.input_texts[i]), line("target", batch.targets[i], batch.target_texts[i])];
  const table = h("table", { class: "pairs" }, h("caption", { class: i < LANES ? `lane ink-${i + 1}` : null }, name), h("tbody", {}, ...rows));
  return h("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": name }, table);
}

/** What an evaluation measured: a line for each model, and row by row what each of them gave, side by side. */

import { call, inWords } from "./api.js";
import { Confusion, rowsOfEvaluation } from "./confusion.js";
import { byId, facts, h, say } from "./dom.js";
import { count, percent } from "./format.js";

const ROWS_AT_ONCE = 20;
const MOST_ROWS = 1000; // that the server gives at once
const FIGURES = {
  perplexity: ["rows", "tokens", "perplexity", "nats_per_token", "bits_per_byte"],
  accuracy: ["rows", "accuracy", "macro_f1", "calibration_error"],
  answers: ["rows", "failed", "exact_match", "token_f1", "answer_tokens"],
  judge: ["rows", "failed", "score", "scored", "unparsable", "judge_failed", "exact_match", "token_f1"],
  choices: ["rows", "failed", "cut", "acc", "acc_stderr", "acc_norm", "acc_norm_stderr", "chance"],
};
const VERDICTS = ["win", "loss", "tie", "disagreed", "unparsable", "failed"];
const SHARES = [
  ...["accuracy", "macro_f1", "calibration_error", "exact_match", "token_f1", "f1", "probability", "confidence"],
  ...["acc", "acc_stderr", "acc_norm", "acc_norm_stderr", "chance"],
];

export class EvaluationView {
  constructor(path) {
    this.path = path;
    this.after = 0;
    this.drawn = []; // each row as it came
    this.isAsking = false;
    byId("results-more").addEventListener("click", () => this.more());
  }

  /** The rows that are shown, as they stand now: models are asked one after the other, so a row grows with each. */
  async refresh() {
    await this.#trying(async () => {
      const limit = Math.min(MOST_ROWS, Math.max(ROWS_AT_ONCE, this.drawn.length));
      const page = await call(`${this.path}/results?limit=${limit}`);
      page.data.forEach((one, place) => this.#draw(one, place));
      if (this.drawn.length <= limit) byId("results-more").hidden = !page.has_more;
    });
  }

  /** The rows behind those that are shown. */
  async more() {
    await this.#trying(async () => {
      const page = await call(`${this.path}/results?after=${this.after}&limit=${ROWS_AT_ONCE}`);
      for (const one of page.data) this.#draw(one, this.drawn.length);
      byId("results-more").hidden = !page.has_more;
    });
  }

  /** What has not changed stays as it is, with what a reader has opened in it. */
  #draw(one, place) {
    const text = JSON.stringify(one);
    if (this.drawn[place] === text) return;
    const list = byId("results");
    if (place < this.drawn.length) list.children[place].replaceWith(row(one));
    else list.append(row(one));
    this.drawn[place] = text;
    this.after = Math.max(this.after, one.row);
  }

  async #trying(step) {
    if (this.isAsking) return;
    this.isAsking = true;
    try {
      await step();
      byId("results-empty").hidden = this.drawn.length > 0;
      say(byId("results-error"), "");
    } catch (error) {
      say(byId("results-error"), inWords(error));
    } finally {
      this.isAsking = false;
    }
  }

  /** Once the job has ended: what all rows together say, or that they say nothing. */
  async end(job) {
    await this.refresh();
    byId("results-empty").textContent = "No row was measured.";
    byId("evaluation-empty").textContent = "It ended before all rows were measured.";
    if (job.status !== "succeeded") return;
    const report = await call(`${this.path}/report`);
    byId("evaluation-empty").hidden = true;
    byId("evaluation-report").replaceChildren(summary(report), ...report.models.filter((one) => one.confusion).map((one) => confusion(this.path, one)));
  }
}

function summary({ kind, models }) {
  const names = models[0].verdicts ? ["rows", "against", ...VERDICTS] : FIGURES[kind];
  const figures = models.map((one) => ({ ...one, ...one.verdicts }));
  const table = h(
    "table",
    {},
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Model"), ...names.map((name) => h("th", { scope: "col", class: "number" }, inWordsOf(name))))),
    h("tbody", {}, ...figures.map((one) => h("tr", {}, h("th", { scope: "row" }, h("a", { href: `/ui/models/${encodeURIComponent(one.model)}` }, one.model)), ...names.map((name) => h("td", { class: "number" }, figure(name, one[name])))))),
  );
  return h("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": "Figures of each model" }, table);
}

function confusion(path, report) {
  const rowsOf = rowsOfEvaluation(path, report.model, report.classes.map((one) => one.name));
  return new Confusion(report, rowsOf, { caption: report.model }).node;
}

/** What all models read alike stands above their answers. */
function row({ row: number, reference, models }) {
  const asked = models[0].prompt;
  const isShared = asked !== null && models.every((one) => one.prompt === asked);
  return h(
    "li",
    {},
    h("p", { class: "note" }, `Row ${count(number)}`),
    isShared ? folded(models.length > 1 ? "What they read" : "What it read", asked, true) : null,
    reference === null ? null : h("p", {}, `Reference: ${reference}`),
    h("div", { class: "results__models" }, ...models.map((one) => ofModel(isShared ? { ...one, prompt: null } : one, reference))),
  );
}

function ofModel({ model, prompt, answer, score, verdict, figures, judgements, error }, reference) {
  const told = Object.entries(figures).filter(([, value]) => typeof value !== "object");
  return h(
    "div",
    { role: "group", "aria-label": model },
    h("h3", {}, model),
    prompt === null ? null : folded("What it read", prompt, true),
    answer === null ? null : h("blockquote", {}, answer),
    error ? h("p", { class: "level-error" }, error) : null,
    vitals([["score", score === null ? null : figure("score", score)], ["verdict", verdict], ...told.map(([name, value]) => [inWordsOf(name), figure(name, value)])]),
    figures.choices ? choicesTable(figures.choices, answer, reference) : null,
    ...judgements.map((one, place) => folded(`Judge, question ${place + 1}`, [one.prompt, `→ ${one.reply ?? one.error}`].filter(Boolean).join("\n\n"))),
  );
}

/** How likely the model found each choice; the likeliest is its answer. */
function choicesTable(choices, answer, reference) {
  const marks = (text) => [text === answer ? "chosen" : "", text === reference ? "right" : ""].filter(Boolean).join(", ");
  const head = h("tr", {}, h("th", { scope: "col" }, "Choice"), h("th", { scope: "col", class: "number" }, "log probability"), h("td", {}));
  const lines = choices.map((one) => h("tr", {}, h("th", { scope: "row" }, one.text), h("td", { class: "number" }, one.log_probability.toFixed(3)), h("td", {}, marks(one.text))));
  return h("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": "Choices" }, h("table", {}, h("thead", {}, head), h("tbody", {}, ...lines)));
}

function vitals(pairs) {
  const list = facts(pairs);
  list.className = "vitals";
  return list;
}

function folded(title, text, isOpen = false) {
  return h("details", { open: isOpen }, h("summary", {}, title), h("pre", {}, text));
}

function inWordsOf(name) {
  return name.replaceAll("_", " ");
}

function figure(name, value) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  if (SHARES.includes(name)) return value === 0 ? "0 %" : percent(value);
  return Number.isInteger(value) ? count(value) : value.toFixed(3);
}

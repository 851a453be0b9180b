/** A confusion matrix: each cell opens the rows that fell there, and of two classes the threshold moves live. */

import { call, inWords } from "./api.js";
import { debounce, h } from "./dom.js";
import { count, percent } from "./format.js";

const STEP = 0.005;
const ROWS_AT_ONCE = 20;

export class Confusion {
  /**
   * `report` as an evaluation or a classify job tells it. `rowsOf({ is, told, threshold }, after)` promises rows of
   * a cell as `{ data: [{ line, text, probability }], has_more }`; `threshold` is null for the report's own.
   */
  constructor(report, rowsOf, { table = h("table", { class: "confusion__table" }), scores = h("tbody"), caption, onChange = () => {} } = {}) {
    Object.assign(this, { report, rowsOf, table, scores, onChange });
    this.caption = caption ? [h("caption", {}, caption)] : [];
    this.names = report.classes.map((one) => one.name);
    this.matrix = report.confusion;
    this.cell = this.threshold = null;
    this.asked = 0;
    this.rows = h("div");
    this.slider = report.by_probability ? this.#slider() : null;
    this.reopen = debounce(() => this.cell && this.open(...this.cell), 200);
    this.draw();
  }

  /** All of it as one node, where the page has no tables for it. */
  get node() {
    const head = ["Class", "Precision", "Recall", "F1", "Rows"].map((name, place) => h("th", { scope: "col", class: place ? "number" : "" }, name));
    const wrap = (label, table) => h("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": label }, table);
    return h("div", { class: "stack" }, this.slider, wrap("Confusion matrix", this.table), wrap("Scores of each class", h("table", { class: "confusion__table" }, h("thead", {}, h("tr", {}, ...head)), this.scores)), this.rows);
  }

  get accuracy() {
    const right = this.matrix.reduce((sum, row, place) => sum + row[place], 0);
    return right / this.matrix.flat().reduce((sum, number) => sum + number, 0);
  }

  draw() {
    const head = this.names.map((name) => h("th", { scope: "col", class: "number" }, h("bdi", {}, name)));
    this.table.replaceChildren(
      ...this.caption,
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "is, told as →"), ...head)),
      h("tbody", {}, ...this.matrix.map((row, is) => h("tr", {}, h("th", { scope: "row" }, h("bdi", {}, this.names[is])), ...row.map((number, told) => this.#cell(number, is, told))))),
    );
    this.scores.replaceChildren(...this.names.map((name, place) => this.#score(name, place)));
  }

  #cell(number, is, told) {
    const isOpen = this.cell?.[0] === is && this.cell[1] === told;
    const button = h("button", { type: "button", class: "confusion__cell", "aria-pressed": String(isOpen), on: { click: () => this.open(is, told) } }, count(number));
    button.setAttribute("aria-label", `${count(number)} rows are ${this.names[is]} and told as ${this.names[told]}`);
    return h("td", { class: is === told ? "number confusion__right" : "number" }, button);
  }

  #score(name, place) {
    const [right, rows] = [this.matrix[place][place], this.matrix[place].reduce((sum, number) => sum + number, 0)];
    const told = this.matrix.reduce((sum, row) => sum + row[place], 0);
    const shares = [told && right / told, rows && right / rows, told + rows && (2 * right) / (told + rows)];
    const known = [told, rows, told + rows].map((number, which) => (number ? percent(shares[which]) : "–"));
    return h("tr", {}, h("th", { scope: "row" }, h("bdi", {}, name)), ...[...known, count(rows)].map((text) => h("td", { class: "number" }, text)));
  }

  #slider() {
    const own = this.report.threshold ?? 0.5;
    const value = h("output", {}, percent(own));
    const input = h("input", { type: "range", min: 0, max: 1, step: STEP, value: own, "aria-label": `Threshold of ${this.names[1]}`, on: { input: () => this.move(Number(input.value)) } });
    const back = h("button", { type: "button", class: "button button--plain button--small", on: { click: () => this.move(null) } }, "Its own");
    this.show = (threshold) => {
      input.value = threshold ?? own;
      value.textContent = percent(threshold ?? own);
    };
    return h("div", { class: "row confusion__threshold" }, h("span", {}, "“", h("bdi", {}, this.names[1]), "” is told from"), input, value, back);
  }

  /** Tell the second class from this probability on; null: as the report does. */
  move(threshold) {
    const first = Math.round(threshold / STEP);
    const sum = (numbers) => numbers.reduce((all, number) => all + number, 0);
    this.threshold = threshold === null ? null : Number((first * STEP).toFixed(3));
    this.matrix = threshold === null ? this.report.confusion : this.report.by_probability.map((row) => [sum(row.slice(0, first)), sum(row.slice(first))]);
    this.show(this.threshold);
    this.draw();
    this.reopen();
    this.onChange(this);
  }

  /** Show the rows of a cell, from its first one on. */
  async open(is, told) {
    const hadFocus = this.table.contains(document.activeElement);
    this.cell = [is, told];
    this.draw();
    if (hadFocus) this.table.querySelector("[aria-pressed=true]").focus();
    this.onChange(this);
    const title = h("h3", {}, h("bdi", {}, this.names[is]), ", told as ", h("bdi", {}, this.names[told]));
    const list = h("ol", { class: "confusion__rows" });
    this.rows.replaceChildren(title, list);
    await this.#more(list, 0, (this.asked += 1));
  }

  async #more(list, after, asked) {
    const [is, told] = this.cell;
    try {
      const { data, has_more: hasMore, note } = await this.rowsOf({ is, told, threshold: this.threshold }, after);
      if (asked !== this.asked) return; // another cell was opened meanwhile
      list.append(...data.map(({ line, text, probability }) => h("li", {}, h("span", { class: "note" }, `line ${count(line)}, ${percent(probability)}`), h("p", { dir: "auto" }, text))));
      if (!list.children.length || note) list.after(h("p", { class: "empty" }, note ?? "No row."));
      if (!hasMore) return;
      const more = h("button", { type: "button", class: "button button--plain", on: { click: () => { more.remove(); this.#more(list, data.at(-1).line, asked); } } }, "More rows");
      this.rows.append(more);
    } catch (error) {
      if (asked === this.asked) this.rows.append(h("p", { class: "notice notice--bad", role: "alert" }, inWords(error)));
    }
  }
}

/** Rows of an evaluation: all that fell into a cell, in pages. */
export function rowsOfEvaluation(path, model, names) {
  return async ({ is, told, threshold }, after) => {
    const query = new URLSearchParams({ model, reference: names[is], answer: names[told], after, limit: ROWS_AT_ONCE });
    if (threshold !== null) query.set("threshold", threshold);
    const { data, has_more } = await call(`${path}/results?${query}`);
    const rows = data.map(({ row, models }) => {
      const { prompt, answer, figures } = models.find((one) => one.model === model);
      return { line: row, text: prompt, probability: answer === names[told] ? figures.confidence : 1 - figures.confidence };
    });
    return { data: rows, has_more };
  };
}

/** Rows that a training's own report keeps: those it was most wrong about. */
export function rowsOfReport({ worst, classes }) {
  return async ({ is, told }) => {
    const found = worst.filter((one) => one.label === classes[is].name && one.told === classes[told].name);
    const note = "A training keeps only the rows that it was most wrong about, with its own threshold; an evaluation keeps all.";
    return { data: found.map(({ line, text, probability }) => ({ line, text, probability: 1 - probability })), has_more: false, note };
  };
}

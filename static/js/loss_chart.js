/** The loss curve, drawn by Plotly and extended as points arrive, and its twin, a table. */

import { byId, h } from "./dom.js";
import { count, loss } from "./format.js";
import { colour } from "./heat.js";
import { CONFIG, layout, trace } from "./plot_style.js";
import { whenPlotly } from "./plotly.js";
import { smoothed } from "./smoothing.js";

const FLUSH_MS = 200;
const TABLE_ROWS = 500;
const OTHER_INKS = ["--ink-2", "--ink-4", "--ink-5", "--ink-6"]; // the first and the third are this job's own
const FAINT = 0.3;

function pointsOf(rows, field) {
  return rows
    .filter((row) => row[field] !== null && row[field] !== undefined)
    .sort((one, other) => one.step - other.step)
    .map((row) => ({ step: row.step, value: row[field] }));
}

export class LossChart {
  /** `onRange([low, high])` and `onPick(step)`, where they are set, hear of the steps in sight and of a click on one. */
  constructor() {
    this.box = byId("chart");
    this.marks = [];
    this.rows = new Map(); // by step: a job that was taken back measures some steps twice
    this.lastStep = -1;
    this.fresh = [];
    this.mustRedraw = true;
    this.view = { smooth: 0, isLog: false, others: [] };
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#redraw());
  }

  /** Take rows of metrics in; they are drawn together, a few times a second. */
  add(rows) {
    for (const row of rows) {
      const known = this.rows.get(row.step);
      if (known && known.loss === row.loss && known.val_loss === row.val_loss) continue;
      if (row.step <= this.lastStep) this.mustRedraw = true;
      this.rows.set(row.step, row);
      this.fresh.push(row);
      this.lastStep = Math.max(this.lastStep, row.step);
    }
    if (this.fresh.length) this.timer ??= setTimeout(() => this.#flush(), FLUSH_MS);
  }

  /** Draw it smoothed (0 to below 1), as powers or not, `others` ({name, rows}) over it. */
  look(view) {
    this.view = view;
    this.#redraw();
    this.#describe();
  }

  get isDrawn() {
    return !this.box.hidden;
  }

  /** Mark these steps, one of them as chosen. */
  mark(steps, chosen) {
    const line = (step) => (step === chosen ? { color: colour("--ink"), width: 2 } : { color: colour("--line-strong"), width: 1, dash: "dot" });
    this.marks = steps.map((step) => ({ type: "line", x0: step, x1: step, y0: 0, y1: 1, yref: "paper", line: line(step), layer: "below" }));
    if (!this.isDrawn) return;
    window.Plotly.relayout(this.box, { shapes: this.marks });
    this.#tellRange();
  }

  #points(field) {
    return pointsOf([...this.rows.values()], field);
  }

  #flush() {
    this.timer = undefined;
    const fresh = this.fresh;
    this.fresh = [];
    if (this.mustRedraw || this.view.smooth) this.#redraw();
    else this.#extend(fresh);
    this.#drawTable();
    this.#describe();
  }

  #redraw() {
    if (!this.rows.size) return;
    if (!window.Plotly) return whenPlotly(() => this.#redraw());
    this.mustRedraw = false;
    const losses = this.#points("loss");
    const validation = this.#points("val_loss");
    const isFirst = !this.isDrawn;
    byId("chart-empty").hidden = true;
    this.box.hidden = false;
    // the same call makes the plot and replaces it
    const drawing = window.Plotly.react(
      this.box,
      [...this.#own(losses, validation), ...this.view.others.flatMap((other, place) => this.#other(other, place))],
      this.#layout(),
      CONFIG,
    );
    if (isFirst) drawing.then(() => this.#listen());
    this.mustRedraw = losses.length === 1; // a lone point needs a marker, a line does not
  }

  /** What was measured stands first, where `#extend` finds it; the smoothed curve over it. */
  #own(losses, validation) {
    const { smooth } = this.view;
    const line = { color: colour("--loss"), width: 2 };
    const traces = [
      trace("training", losses, { mode: losses.length > 1 ? "lines" : "lines+markers", line, opacity: smooth ? FAINT : 1 }),
      trace("validation", validation, {
        mode: "lines+markers",
        line: { color: colour("--val-loss"), width: 2, dash: "dot" },
        marker: { size: 7, symbol: "diamond" },
      }),
    ];
    if (smooth) traces.push(trace("training, smoothed", smoothed(losses, smooth), { mode: "lines", line }));
    return traces;
  }

  #other({ name, rows }, place) {
    const line = { color: colour(OTHER_INKS[place]), width: 1.5 };
    const losses = pointsOf(rows, "loss");
    const validation = pointsOf(rows, "val_loss");
    const shown = this.view.smooth ? smoothed(losses, this.view.smooth) : losses;
    return [
      trace(name, shown, { mode: losses.length > 1 ? "lines" : "lines+markers", line }),
      trace(`${name}, validation`, validation, { mode: "lines+markers", line: { ...line, dash: "dot" }, marker: { size: 5 }, showlegend: false }),
    ];
  }

  #layout() {
    const made = layout();
    return { ...made, yaxis: { ...made.yaxis, type: this.view.isLog ? "log" : "linear" }, shapes: this.marks };
  }

  #tellRange() {
    const range = this.box.layout?.xaxis?.range; // not there before the first plot is done
    if (range) this.onRange?.(range);
  }

  #listen() {
    this.#tellRange();
    this.box.on("plotly_afterplot", () => this.#tellRange());
    this.box.on("plotly_click", ({ points }) => this.onPick?.(points[0].x));
  }

  #extend(rows) {
    const fields = ["loss", "val_loss"].map((field) => rows.filter((row) => row[field] !== null && row[field] !== undefined));
    const [losses, validation] = fields;
    window.Plotly.extendTraces(
      this.box,
      {
        x: [losses.map((row) => row.step), validation.map((row) => row.step)],
        y: [losses.map((row) => row.loss), validation.map((row) => row.val_loss)],
      },
      [0, 1],
    );
  }

  #drawTable() {
    const rows = [...this.rows.values()].sort((one, other) => other.step - one.step).slice(0, TABLE_ROWS);
    const cell = (text) => h("td", { class: "number" }, text);
    byId("numbers").replaceChildren(
      ...rows.map((row) =>
        h(
          "tr",
          {},
          cell(count(row.step)),
          cell(loss(row.loss)),
          cell(loss(row.val_loss)),
          cell(row.learning_rate === null ? "–" : row.learning_rate.toExponential(2)),
          cell(row.tokens_per_s === null ? "–" : count(Math.round(row.tokens_per_s))),
        ),
      ),
    );
  }

  #describe() {
    const losses = this.#points("loss");
    if (!losses.length) return;
    const [first, last] = [losses[0], losses.at(-1)];
    const words = `Loss ${loss(first.value)} at step ${first.step}, ${loss(last.value)} at step ${last.step}`;
    const others = this.view.others.map(({ name, rows }) => {
      const end = pointsOf(rows, "loss").at(-1);
      return end ? `; ${name}: ${loss(end.value)} at step ${end.step}` : `; ${name}: nothing yet`;
    });
    this.box.setAttribute("aria-label", `${words}${others.join("")}; the table below has the numbers of this job`);
    byId("chart-note").textContent = words;
  }
}

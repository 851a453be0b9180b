/** A recipe's own figures by step, from 0 to 1: the share told rightly of what is learnt from and of what is kept back. */

import { byId } from "./dom.js";
import { CONFIG, layout, trace } from "./loss_chart.js";
import { whenPlotly } from "./plotly.js";

const CURVES = [
  ["accuracy", "training", "--loss", "solid"],
  ["val_accuracy", "validation", "--val-loss", "dot"],
];

export class AccuracyChart {
  constructor() {
    this.rows = new Map(); // by step; evaluations are few, so that all of it is drawn anew
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
  }

  add(rows) {
    const measured = rows.filter((row) => row.figures && CURVES.some(([name]) => name in row.figures));
    for (const row of measured) this.rows.set(row.step, row);
    if (measured.length) this.#draw();
  }

  #draw() {
    if (!this.rows.size) return;
    if (!window.Plotly) return whenPlotly(() => this.#draw());
    byId("accuracy").hidden = false;
    const rows = [...this.rows.values()].sort((one, other) => one.step - other.step);
    const shown = layout();
    const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    window.Plotly.react(
      byId("accuracy-chart"),
      CURVES.map(([name, label, line, dash]) =>
        trace(
          label,
          rows.filter((row) => name in row.figures).map((row) => ({ step: row.step, value: row.figures[name] })),
          { mode: "lines+markers", line: { color: colour(line), width: 2, dash } },
        ),
      ),
      { ...shown, yaxis: { ...shown.yaxis, title: { text: "accuracy" }, range: [0, 1.02] } },
      CONFIG,
    );
  }
}

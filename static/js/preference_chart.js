/** How far a network that learns preferences has moved, by step: rewards of both answers, their margin, the divergence. */

import { byId } from "./dom.js";
import { CONFIG, layout, trace } from "./loss_chart.js";
import { whenPlotly } from "./plotly.js";

const CURVES = [
  ["margin", "margin", "--loss", "solid"],
  ["chosen_reward", "chosen answers", "--val-loss", "solid"],
  ["rejected_reward", "rejected answers", "--val-loss", "dot"],
  ["kl", "divergence (KL)", "--ink-soft", "dash"],
];

export class PreferenceChart {
  constructor() {
    this.rows = new Map(); // by step; evaluations are few, so that all of it is drawn anew
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
  }

  add(rows) {
    const measured = rows.filter((row) => row.figures && "margin" in row.figures);
    for (const row of measured) this.rows.set(row.step, row);
    if (measured.length) this.#draw();
  }

  #draw() {
    if (!this.rows.size) return;
    if (!window.Plotly) return whenPlotly(() => this.#draw());
    byId("preference").hidden = false;
    const rows = [...this.rows.values()].sort((one, other) => one.step - other.step);
    const shown = layout();
    const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    window.Plotly.react(
      byId("preference-chart"),
      CURVES.map(([name, label, line, dash]) =>
        trace(
          label,
          rows.map((row) => ({ step: row.step, value: row.figures[name] })),
          { mode: "lines+markers", line: { color: colour(line), width: 2, dash } },
        ),
      ),
      { ...shown, yaxis: { ...shown.yaxis, title: { text: "log probability" } } },
      CONFIG,
    );
  }
}

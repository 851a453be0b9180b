/** A recipe's own figures by step, one curve each; they are few, and drawn anew each time. */

import { byId } from "./dom.js";
import { colour } from "./heat.js";
import { CONFIG, layout, trace } from "./plot_style.js";
import { whenPlotly } from "./plotly.js";

class FigureChart {
  /** `curves` are [figure, words, ink, dash]; the section `id` is shown once there is one. */
  constructor(id, curves, axis) {
    Object.assign(this, { id, curves, axis, rows: new Map() }); // by step
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
  }

  add(rows) {
    const measured = rows.filter((row) => row.figures && this.curves.some(([name]) => name in row.figures));
    for (const row of measured) this.rows.set(row.step, row);
    if (measured.length) this.#draw();
  }

  #draw() {
    if (!this.rows.size) return;
    if (!window.Plotly) return whenPlotly(() => this.#draw());
    byId(this.id).hidden = false;
    const rows = [...this.rows.values()].sort((one, other) => one.step - other.step);
    const points = (name) => rows.filter((row) => name in row.figures).map((row) => ({ step: row.step, value: row.figures[name] }));
    const traces = this.curves.map(([name, words, ink, dash]) => trace(words, points(name), { mode: "lines+markers", line: { color: colour(ink), width: 2, dash } }));
    const shown = layout();
    window.Plotly.react(byId(`${this.id}-chart`), traces, { ...shown, yaxis: { ...shown.yaxis, ...this.axis } }, CONFIG);
  }
}

/** The share that is told rightly, of what is learnt from and of what is kept back. */
export function accuracyChart() {
  const curves = [
    ["accuracy", "training", "--loss", "solid"],
    ["val_accuracy", "validation", "--val-loss", "dot"],
  ];
  return new FigureChart("accuracy", curves, { title: { text: "accuracy" }, range: [0, 1.02] });
}

/** How far a network that learns preferences has moved: rewards of both answers, their margin, the divergence. */
export function preferenceChart() {
  const curves = [
    ["margin", "margin", "--loss", "solid"],
    ["chosen_reward", "chosen answers", "--val-loss", "solid"],
    ["rejected_reward", "rejected answers", "--val-loss", "dot"],
    ["kl", "divergence (KL)", "--ink-soft", "dash"],
  ];
  return new FigureChart("preference", curves, { title: { text: "log probability" } });
}

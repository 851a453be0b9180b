/** The report of a classifier on rows that were held out: how often it is right, what it takes for what, its worst mistakes. */

import { Confusion, rowsOfReport } from "./confusion.js";
import { byId, h } from "./dom.js";
import { count, percent } from "./format.js";

const PARTS = { train: "learnt from", validation: "measured on", test: "held out" };

export function drawReport(report) {
  byId("report").hidden = false;
  const names = report.classes.map((one) => one.name);
  byId("report-about").replaceChildren(...about(report, names));
  const matrix = byId("confusion").parentElement;
  byId("confusion").className = "confusion__table";
  const view = new Confusion(report, rowsOfReport(report), { table: byId("confusion"), scores: byId("class-scores") });
  if (view.slider) matrix.before(view.slider);
  matrix.after(view.rows);
  byId("mistakes").replaceChildren(...report.worst.map(mistake));
  byId("mistakes-empty").hidden = report.worst.length > 0;
}

function about(report, names) {
  const parts = Object.entries(report.accuracies).map(([part, value]) => `${percent(value)} of those ${PARTS[part]}`);
  const lines = [`Right in ${parts.join(", ")}. The report is made of ${count(report.rows)} rows ${PARTS[report.part]}.`];
  if (report.threshold !== null) lines.push(`“${names[1]}” is told from a probability of ${percent(report.threshold)} on.`);
  lines.push(`Confidence and accuracy are ${percent(report.calibration_error)} apart in the mean.`);
  return lines.map((line) => h("p", {}, line));
}

function mistake({ label, told, probability, dataset, line, text }) {
  const where = `${dataset}, line ${line}`;
  return h("li", {}, h("span", { class: "note" }, `${label}, told as ${told} (${percent(probability)} for ${label}); ${where}`), h("p", {}, text));
}

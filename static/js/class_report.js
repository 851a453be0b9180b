/** The report of a classifier on rows that were held out: how often it is right, what it takes for what, its worst mistakes. */

import { byId, h } from "./dom.js";
import { count, percent } from "./format.js";

const PARTS = { train: "learnt from", validation: "measured on", test: "held out" };

export function drawReport(report) {
  byId("report").hidden = false;
  const names = report.classes.map((one) => one.name);
  byId("report-about").replaceChildren(...about(report, names));
  byId("confusion").replaceChildren(
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "is, told as →"), ...names.map((name) => h("th", { scope: "col", class: "number" }, name)))),
    h("tbody", {}, ...report.confusion.map((row, place) => confusionRow(names[place], row, place))),
  );
  byId("class-scores").replaceChildren(...report.classes.map(scores));
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

function confusionRow(name, row, place) {
  const cells = row.map((number, told) => h("td", { class: told === place ? "number confusion__right" : "number" }, count(number)));
  return h("tr", {}, h("th", { scope: "row" }, name), ...cells);
}

function scores({ name, precision, recall, f1, rows }) {
  const shown = [precision, recall, f1].map((value) => (value === null ? "–" : percent(value)));
  return h("tr", {}, h("th", { scope: "row" }, name), ...shown.map((text) => h("td", { class: "number" }, text)), h("td", { class: "number" }, count(rows)));
}

function mistake({ label, told, probability, dataset, line, text }) {
  const where = `${dataset}, line ${line}`;
  return h("li", {}, h("span", { class: "note" }, `${label}, told as ${told} (${percent(probability)} for ${label}); ${where}`), h("p", {}, text));
}

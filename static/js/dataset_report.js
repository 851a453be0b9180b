/** What is good to know of a dataset before a job, fetched when it is asked for: errors, duplicates, lengths, classes. */

import { call, inWords } from "./api.js";
import { byId, h } from "./dom.js";
import { count, many, percent } from "./format.js";

const SHOWN = 5;

export class DatasetReport {
  #shown = "";

  /** `asked` gives {dataset, and what else the report's query has}; `draw` makes nodes of a report. */
  constructor(asked, draw = (report) => [...wrong(report), h("ul", {}, ...lines(report).map((line) => h("li", {}, line)))]) {
    this.asked = asked;
    this.draw = draw;
    this.details = byId("dataset-report");
    this.details.addEventListener("toggle", () => this.refresh());
  }

  /** Fetch the report where it is open and about something else by now. */
  async refresh() {
    const { dataset, ...query } = this.asked();
    const wanted = JSON.stringify([dataset, query]);
    if (!this.details.open || !dataset || wanted === this.#shown) return;
    this.#shown = wanted;
    const text = byId("dataset-report-text");
    text.replaceChildren(h("p", {}, "Reading …"), h("progress", { "aria-label": "Reading" }));
    const given = new URLSearchParams(Object.entries(query).filter(([, value]) => value));
    try {
      const report = await call(`/datasets/${encodeURIComponent(dataset)}/report?${given}`);
      if (wanted === this.#shown) text.replaceChildren(...this.draw(report));
    } catch (error) {
      if (wanted !== this.#shown) return;
      this.#shown = "";
      text.textContent = inWords(error);
    }
  }
}

function wrong({ errors }) {
  if (!errors.count) return [];
  const found = errors.data.slice(0, SHOWN).map((error) => h("li", {}, `line ${error.line}: ${error.field ?? ""} ${error.reason}`));
  return [h("div", { class: "notice notice--bad" }, h("p", {}, `${many(errors.count, "error")}${errors.count > found.length ? `; the first ${found.length}` : ""}:`), h("ul", {}, ...found))];
}

function lines(report) {
  const { looked_at: looked, lengths, duplicates, special_tokens: specials, classes } = report;
  const sample = looked.sampled ? `, one in ${count(looked.one_in)} of all` : "";
  const found = [
    `${many(looked.count, looked.unit)}${sample}, ${count(lengths.tokens)} tokens with ${lengths.tokenizer}; the longest has ${count(lengths.longest)}`,
    `${count(lengths.too_long)} longer than ${count(lengths.context_length)} tokens (${percent(lengths.too_long_share)})`,
    `${many(duplicates.count, "duplicate")} (${percent(duplicates.share)})`,
  ];
  for (const special of specials.slice(0, SHOWN)) {
    found.push(`${special.token} stands in it ${many(special.count, "time")}, first in line ${special.line}`);
  }
  if (classes) {
    const largest = classes.data.slice(0, SHOWN).map((one) => `${one.label} ${count(one.count)}`);
    found.push(`${count(classes.classes)} different labels in ${classes.column}: ${largest.join(", ")}`);
  }
  return found;
}

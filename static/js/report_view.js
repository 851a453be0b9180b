/** The report on a dataset, in full: lengths as bars, classes as bars, what is wrong by line, what comes again. */

import { h } from "./dom.js";
import { count, many, percent } from "./format.js";

/** Nodes of a report; `rowAddress(line)` is where a line can be looked at, null where there is no such place. */
export function reportView(report, rowAddress) {
  const line = (number) => {
    const address = rowAddress(number);
    return address ? h("a", { href: address }, `line ${count(number)}`) : `line ${count(number)}`;
  };
  const parts = [lengths(report, line), classes(report), errors(report, line), twins(report, line), overlap(report, line), specials(report, line), empty(report, line)];
  return parts.filter(Boolean);
}

/** What was looked at, in a sentence. */
export function lookedAt({ looked_at: looked }) {
  return `${many(looked.count, looked.unit)}${looked.sampled ? `, one in ${count(looked.one_in)} of all` : ""}`;
}

function part(title, ...nodes) {
  return h("section", { class: "report__part" }, h("h3", {}, title), ...nodes);
}

function bars(rows) {
  const most = Math.max(1, ...rows.map((row) => row.count));
  const items = rows.map(({ name, count: number, of, isLoud }) => {
    const fill = number ? h("div", { class: isLoud ? "bar__fill bar__fill--loud" : "bar__fill" }) : null;
    if (fill) fill.style.width = `${(number / most) * 100}%`;
    const share = of ? ` (${percent(number / of)})` : "";
    return h("li", {}, h("span", { class: "bars__name", dir: "auto" }, name), h("span", { class: "bar", "aria-hidden": "true" }, fill), h("span", { class: "bars__count" }, `${count(number)}${share}`));
  });
  return h("ol", { class: "bars" }, ...items);
}

function lengths({ lengths: found, looked_at: looked }, line) {
  const rows = found.buckets.map(({ over, up_to: upTo, count: number }) => {
    const name = upTo === null ? `over ${count(over)}` : over + 1 === upTo ? count(upTo) : `${count(over + 1)}–${count(upTo)}`;
    return { name, count: number, isLoud: over >= found.context_length };
  });
  const long = found.too_long
    ? `${count(found.too_long)} (${percent(found.too_long_share)}) do not fit ${count(found.context_length)} tokens; ${percent(found.cut_tokens_share)} of all tokens would be cut off.`
    : `All fit ${count(found.context_length)} tokens.`;
  const longest = found.longest_line === null ? [] : [", ", line(found.longest_line)];
  const about = h("p", {}, `${count(found.tokens)} tokens; the median of a ${looked.unit} is ${count(found.median)}, the longest ${count(found.longest)}`, ...longest, `. ${long}`);
  return part("Lengths, in tokens", about, bars(rows));
}

function classes({ classes: found }) {
  if (!found) return null;
  const all = found.data.reduce((sum, one) => sum + one.count, 0);
  const rest = found.classes - found.data.length;
  const rows = found.data.map((one) => ({ name: one.label, count: one.count, of: all }));
  const [most, least] = [found.data[0]?.count ?? 0, found.data.at(-1)?.count ?? 0];
  const balance = found.data.length < 2 ? "" : most === least ? ", all equally frequent" : `, the largest ${(most / least).toFixed(1)} times the smallest`;
  const about = `${many(found.classes, "label").replace("label", "different label")} in ${found.column}${rest > 0 ? `, the ${found.data.length} most frequent of them` : balance}.`;
  return part("Classes", h("p", {}, about), bars(rows));
}

function errors({ errors: found }, line) {
  if (!found.count) return part("Errors", h("p", { class: "report__good" }, "None."));
  const rows = found.data.map((one) => h("tr", {}, h("td", {}, line(one.line)), h("td", {}, h("bdi", {}, one.field ?? "")), h("td", { dir: "auto" }, one.reason)));
  const shown = found.count > found.data.length ? `; the first ${count(found.data.length)}` : "";
  const head = h("tr", {}, ...["Line", "Field", "What is wrong"].map((text) => h("th", { scope: "col" }, text)));
  const table = h("div", { class: "table-wrap report__errors", tabindex: "0", role: "region", "aria-label": "Errors by line" }, h("table", {}, h("thead", {}, head), h("tbody", {}, ...rows)));
  return part(`${many(found.count, "error")}${shown}`, h("p", {}, "A row that cannot be read is left out; a job refuses rows whose fields it cannot use."), table);
}

function pairs(found, line, first) {
  const items = found.data.flatMap((twin, i) => [i ? "; " : "", line(twin.line), first(twin.first_line)]);
  return h("p", {}, ...items, found.count > found.data.length ? "; and more." : ".");
}

function twins({ duplicates: found }, line) {
  if (!found.count) return part("Duplicates", h("p", { class: "report__good" }, "None, white space aside."));
  return part(`${many(found.count, "duplicate")} (${percent(found.share)})`, pairs(found, line, (number) => ` as line ${count(number)}`));
}

function overlap({ overlap: found }) {
  if (!found) return null;
  const told = `${count(found.count)} of ${count(found.looked_at)} (${percent(found.share)}) there are in this one, too.`;
  const lines = found.data.map((twin) => `line ${count(twin.line)} there is line ${count(twin.first_line)} here`).join("; ");
  return part("In the other one as well", h("p", {}, found.count ? told : "Nothing."), found.count ? h("p", { class: "note" }, `${lines}.`) : null);
}

function specials({ special_tokens: found }, line) {
  if (!found.length) return null;
  const items = found.map((one) => {
    const whose = one.of_tokenizer ? "of this tokenizer" : "of other models";
    return h("li", {}, h("code", {}, one.token), ` ${whose}: ${many(one.count, "time")}, first in `, line(one.line));
  });
  return part("Special tokens in the text", h("p", {}, "They are read as plain text."), h("ul", {}, ...items));
}

function empty({ empty: found }, line) {
  if (!found.count) return null;
  return part(many(found.count, "empty row"), h("p", {}, ...found.lines.flatMap((number, i) => [i ? ", " : "", line(number)])));
}

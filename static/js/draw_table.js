/** The table of a draw: a row a candidate, and its bar after each step. */

import { byId, h } from "./dom.js";
import { count, percent } from "./format.js";
import { bar } from "./generation_view.js";
import { visible } from "./glyphs.js";

/**
 * Draw the rows of `ids`, then one for all others. `logits` are the model's own, `changed` with the penalty; `shares`, `out` and
 * `drawn` are those of `distribution`, `was` stands in the text, `tries` how often draws gave which id.
 */
export function drawTable(seen) {
  const { ids, changed, order, settings, out } = seen;
  const [lowest, highest] = [changed[order.at(-1)], changed[order[0]]];
  const extent = highest - lowest || 1;
  byId("draw-rows").replaceChildren(...ids.map((id) => row(seen, id, (changed[id] - lowest) / extent)), others(seen));
  const left = out.reduce((sum, name) => sum + (name === ""), 0);
  const { temperature = 1, repetition_penalty: penalty = 1 } = settings;
  byId("draw-score-note").textContent = penalty === 1 ? "logit" : `logit, penalty ${penalty}`;
  byId("draw-temperature-note").textContent = temperature === 0 ? "0: the likeliest" : `÷ ${temperature}, softmax`;
  byId("draw-filter-note").textContent = left === out.length ? `all ${count(left)} stay` : `${count(left)} of ${count(out.length)} stay`;
  byId("draw-drawn-note").textContent = "shares of what stays";
}

function row({ logits, changed, words, shares, out, drawn, was, tries }, id, height) {
  const score = logits[id] === changed[id] ? changed[id].toFixed(2) : `${logits[id].toFixed(2)} → ${changed[id].toFixed(2)}`;
  const times = tries?.counts[id];
  const marks = [id === was ? "in the text" : "", times ? `drawn ${times}×` : ""].filter(Boolean);
  return h(
    "tr",
    { class: out[id] ? "left-out" : null },
    h("th", { scope: "row" }, h("span", { class: "word" }, ...visible(words.get(id) ?? `#${id}`))),
    cell(height, score, "bar__fill--score"),
    cell(shares[id], percent(shares[id])),
    out[id] ? cell(0, `out: ${out[id]}`) : cell(shares[id], percent(shares[id])),
    cell(drawn[id], out[id] ? "–" : percent(drawn[id]), "bar__fill--drawn", marks),
  );
}

function others({ ids, changed, shares, out, drawn }) {
  const known = new Set(ids);
  const sums = { shares: 0, left: 0, drawn: 0 };
  for (let id = 0; id < changed.length; id += 1) {
    if (known.has(id)) continue;
    sums.shares += shares[id];
    if (out[id] === "") sums.left += shares[id];
    sums.drawn += drawn[id];
  }
  const name = h("th", { scope: "row" }, `${count(changed.length - ids.length)} others`);
  return h("tr", { class: "draw__others" }, name, h("td"), ...[sums.shares, sums.left].map((sum) => cell(sum, percent(sum))), cell(sums.drawn, percent(sums.drawn), "bar__fill--drawn"));
}

function cell(share, words, name = "", marks = []) {
  return h("td", {}, bar(share, name), h("span", { class: "draw__number" }, words), ...marks.map((mark) => h("span", { class: "draw__mark" }, mark)));
}

/** Draws the logit lens: a row a layer, a column a token, in each cell what would have come next. */

import { byId, h } from "./dom.js";
import { percent } from "./format.js";
import { visible } from "./glyphs.js";

function cell({ top }) {
  const share = Math.exp(top[0].logprob ?? -Infinity);
  const others = top.map((one) => `${one.text} ${percent(Math.exp(one.logprob ?? -Infinity))}`).join("\n");
  const made = h("td", { title: others }, ...visible(top[0].text), h("span", { class: "percent" }, percent(share)));
  made.style.setProperty("--share", share.toFixed(3));
  return made;
}

/** `tokens` are all of the text; the lens may show but the last of them. */
export function drawLens(tokens, lens) {
  const positions = lens[0].tokens.map((one) => one.position);
  byId("lens-head").replaceChildren(
    h("tr", {}, h("th", { scope: "col" }, "layer"), ...positions.map((i) => h("th", { scope: "col" }, ...visible(tokens[i].text)))),
  );
  byId("lens-body").replaceChildren(
    ...lens.map((one) => h("tr", {}, h("th", { scope: "row" }, String(one.layer)), ...one.tokens.map(cell))),
  );
  const left = tokens.length - positions.length;
  const table = byId("lens-body").closest(".table-wrap");
  const notes = [left ? `The last ${positions.length} of ${tokens.length} tokens.` : ""];
  if (table.scrollWidth > table.clientWidth) notes.push("The table goes on to the right: scroll sideways, or focus it and use the arrow keys.");
  byId("lens-note").textContent = notes.join(" ").trim();
}

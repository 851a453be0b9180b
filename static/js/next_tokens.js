/** Draws the likeliest next tokens: what the model gives them, and what is left after temperature and filters. */

import { byId, h } from "./dom.js";
import { percent } from "./format.js";
import { visible } from "./glyphs.js";

function bar(share, name) {
  const fill = h("div", { class: `bar__fill ${name}` });
  fill.style.width = `${share * 100}%`;
  return h("div", { class: "bar" }, fill);
}

function row(token, isOwn) {
  const own = Math.exp(token.logprob ?? -Infinity);
  const isIn = token.sampled_logprob !== null;
  const drawn = isIn ? Math.exp(token.sampled_logprob) : 0;
  const ofDraw = () => h("span", { class: "percent", title: "as it would be drawn" }, isIn ? percent(drawn) : "left out");
  return h(
    "li",
    { class: isIn ? null : "left-out" },
    h("span", { class: "word" }, ...visible(token.text)),
    h("span", { class: "bars", "aria-hidden": "true" }, bar(own, ""), isOwn ? null : bar(drawn, "bar__fill--drawn")),
    h("span", { class: "percent", title: "by the model" }, percent(own)),
    isOwn ? null : ofDraw(),
  );
}

export function clearNext() {
  byId("next-tokens").replaceChildren();
}

/** `isOwn`: what the model gives them alone. */
export function drawNext(top, { isOwn = false } = {}) {
  byId("next-tokens").replaceChildren(...top.map((token) => row(token, isOwn)));
}

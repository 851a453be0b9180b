/** Draws generated tokens as they arrive, tinted by probability, with the alternatives of the one pointed at. */

import { byId, facts, h } from "./dom.js";
import { percent } from "./format.js";
import { hex, visible } from "./glyphs.js";
import { Linked } from "./linked.js";

const STEPS = [0.8, 0.5, 0.2, 0.05]; // lower bounds of the tints p-0 to p-3

function tint(logprob) {
  if (logprob === null) return ""; // a remote server may not tell
  const share = Math.exp(logprob);
  const step = STEPS.findIndex((bound) => share >= bound);
  return `p-${step < 0 ? STEPS.length : step}`;
}

function bar(share) {
  const fill = h("div", { class: "bar__fill" });
  fill.style.width = `${share * 100}%`;
  return h("div", { class: "bar", "aria-hidden": "true" }, fill);
}

function alternative(token, isChosen) {
  const share = Math.exp(token.logprob);
  return h(
    "li",
    { class: isChosen ? "chosen" : null },
    h("span", { class: "word" }, ...visible(token.text)),
    bar(share),
    h("span", { class: "percent" }, percent(share)),
  );
}

/** The token's own text: what its bytes spell, or null where they are but a part of a character. */
function spelled(token) {
  if (token.bytes === null) return token.text;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(token.bytes));
  } catch {
    return null;
  }
}

/** Whether an alternative is the token itself; a remote server tells bytes, and no ids. */
function isSame(one, token) {
  return token.id === null ? String(one.bytes) === String(token.bytes) : one.id === token.id;
}

/** How a token is drawn that added no text: a part of a character, or one that ended the text. */
function silent(token) {
  if (token.text) return "";
  return spelled(token) === null ? " out--partial" : " out--mute";
}

export class GenerationView {
  constructor() {
    this.box = byId("output");
    this.readout = byId("output-readout");
    this.tokens = [];
    this.linked = new Linked([this.box], (i) => this.#showToken(i));
    byId("tint").addEventListener("change", (event) => {
      this.box.classList.toggle("tinted", event.target.checked);
      byId("tint-legend").hidden = !event.target.checked;
    });
  }

  /** Empty the box; `prompt`, where it is continued, stands before what comes. */
  begin(prompt) {
    this.tokens = [];
    this.box.replaceChildren(...(prompt === null ? [] : [h("span", { class: "output__prompt" }, prompt)]));
    this.box.setAttribute("aria-busy", "true");
    this.readout.className = "readout readout--empty";
    this.readout.replaceChildren();
    this.linked.reset();
  }

  /** Add one token. Its text is empty while a character is not whole yet, and where it ends the text. */
  push(token) {
    const i = this.tokens.push(token) - 1;
    const isAtEnd = this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < 40;
    const name = `out ${tint(token.logprob)}${silent(token)}`;
    this.box.append(h("span", { class: name, tabindex: i ? "-1" : "0", data: { i } }, token.text));
    if (isAtEnd) this.box.scrollTop = this.box.scrollHeight;
  }

  end() {
    this.box.setAttribute("aria-busy", "false");
    if (!this.box.textContent) this.box.replaceChildren(h("span", { class: "empty" }, "No text came."));
    if (this.tokens.length) {
      this.readout.replaceChildren(h("span", { class: "note" }, "Point at a token for its probability and what else it could have been."));
    }
  }

  #showToken(i) {
    const token = this.tokens[i];
    const top = token.top ?? [];
    const covered = top.reduce((sum, one) => sum + Math.exp(one.logprob), 0);
    const isAmong = top.some((one) => isSame(one, token));
    const rows = isAmong || !top.length ? top : [...top, token];
    this.readout.className = "readout";
    this.readout.replaceChildren(
      h("div", { class: "readout__text" }, ...visible(spelled(token) ?? "part of a character")),
      h(
        "div",
        {},
        facts([
          ["token", String(i + 1)],
          ["id", token.id === null ? null : String(token.id)],
          ["bytes", token.bytes === null ? null : hex(token.bytes)],
          ["probability", token.logprob === null ? null : percent(Math.exp(token.logprob))],
          ["as sampled", sampled(token)],
          ["top covers", top.length ? percent(Math.min(1, covered)) : null],
        ]),
        rows.length ? h("ol", { class: "alternatives" }, ...rows.map((one) => alternative(one, isSame(one, token)))) : null,
      ),
    );
  }
}

/** The probability that the draw was made with, after temperature and filters. */
function sampled(token) {
  return token.sampled_logprob === null || token.sampled_logprob === undefined ? null : percent(Math.exp(token.sampled_logprob));
}

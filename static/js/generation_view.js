/** Draws generated tokens as they arrive, marked by their chance, with the alternatives of the one pointed at. */

import { facts, h } from "./dom.js";
import { percent } from "./format.js";
import { hex, visible } from "./glyphs.js";
import { Linked } from "./linked.js";

const STEPS = [0.8, 0.5, 0.2, 0.05]; // lower bounds of the marks p-0 to p-3

function mark(logprob) {
  if (logprob === null) return ""; // a remote server may not tell
  const share = Math.exp(logprob);
  const step = STEPS.findIndex((bound) => share >= bound);
  return `p-${step < 0 ? STEPS.length : step}`;
}

/** A bar as long as `share`, of at most 1; the least share is seen, and nothing is none. */
export function bar(share, name = "") {
  const fill = h("div", { class: `bar__fill ${name}` });
  fill.style.width = `${share * 100}%`;
  return h("div", { class: "bar", "aria-hidden": "true" }, share ? fill : null);
}

/** The token's own text: what its bytes spell, or null where they are but a part of a character. */
export function spelled(token) {
  if (token.bytes === null) return token.text;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(token.bytes));
  } catch {
    return null;
  }
}

/** Whether an alternative is the token itself; a remote server tells bytes, and no ids. */
export function isSame(one, token) {
  return token.id === null ? String(one.bytes) === String(token.bytes) : one.id === token.id;
}

/** How a token is drawn that added no text: a part of a character, or one that ended the text. */
function silent(token) {
  if (token.text) return "";
  return spelled(token) === null ? " out--partial" : " out--mute";
}

export class GenerationView {
  /**
   * `box` takes the text, `readout` what is known of the token pointed at. `onPick(i, alternative)` is called where another
   * token is to stand at place i, `onDraw(i)` where its draw is to be shown; what is null is not offered.
   */
  constructor(box, readout, { onPick = null, onDraw = null } = {}) {
    Object.assign(this, { box, readout, onPick, onDraw });
    this.tokens = [];
    this.pinned = null;
    this.#listen();
    this.linked = new Linked([box], (i) => this.#showToken(i));
  }

  /** A click pins a token, so that the pointer can travel over others to what it opened. */
  #listen() {
    this.box.addEventListener("pointerover", (event) => this.pinned !== null && event.stopImmediatePropagation(), true);
    this.box.addEventListener("click", (event) => {
      const i = event.target.closest("[data-i]")?.dataset.i ?? null;
      this.pinned = i === this.pinned ? null : i;
      if (i !== null) this.linked.light(Number(i));
    });
    this.box.addEventListener("focusin", () => (this.pinned = null));
    this.box.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !event.target.dataset.i) return;
      event.preventDefault();
      this.readout.querySelector("button")?.focus();
    });
    this.readout.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || this.linked.lit === null) return;
      event.stopPropagation();
      this.box.querySelector(".lit")?.focus({ preventScroll: true });
    });
  }

  /** Empty the box; `prompt`, where it is continued, stands before what comes, and the tokens `kept` behind it. */
  begin(prompt, kept = []) {
    this.tokens = [];
    this.pinned = null;
    this.box.replaceChildren(...(prompt === null ? [] : [h("span", { class: "output__prompt" }, prompt)]));
    this.box.setAttribute("aria-busy", "true");
    this.readout.className = "readout readout--empty";
    this.readout.replaceChildren();
    this.linked.reset();
    for (const token of kept) this.push(token);
  }

  /** Add one token. Its text is empty while a character is not whole yet, and where it ends the text. */
  push(token) {
    const i = this.tokens.push(token) - 1;
    const isAtEnd = this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < 40;
    const name = `out ${mark(token.logprob)}${silent(token)}${token.chosen ? " out--chosen" : ""}`;
    const share = token.logprob === null ? null : percent(Math.exp(token.logprob)).replaceAll(" ", "");
    this.box.append(h("span", { class: name, tabindex: i ? "-1" : "0", data: { i, ...(share && { share }) } }, token.text));
    if (isAtEnd) this.box.scrollTop = this.box.scrollHeight;
  }

  /** Another text for a token that is there: what it really added. */
  retell(i, text) {
    this.tokens[i].text = text;
    const item = this.#item(i);
    item.textContent = text;
    item.classList.toggle("out--mute", !text && spelled(this.tokens[i]) !== null);
    item.classList.toggle("out--partial", !text && spelled(this.tokens[i]) === null);
  }

  /** Mark the token where another text goes another way. */
  markParting(i) {
    this.#item(i)?.classList.add("out--parting");
  }

  #item(i) {
    return this.box.querySelector(`[data-i="${i}"]`);
  }

  end() {
    this.box.setAttribute("aria-busy", "false");
    if (!this.box.textContent) this.box.replaceChildren(h("span", { class: "empty" }, "No text came."));
    if (this.tokens.length && this.linked.lit === null) {
      const more = this.onPick ? "; press one of those to go on from it" : "";
      const hint = `Point at a token for its chance and what else it could have been${more}.`;
      this.readout.replaceChildren(h("span", { class: "note" }, hint));
    }
  }

  #showToken(i) {
    const token = this.tokens[i];
    const top = token.top ?? [];
    const covered = top.reduce((sum, one) => sum + Math.exp(one.logprob), 0);
    const isAmong = top.some((one) => isSame(one, token));
    const rows = isAmong || !top.length ? top : [...top, token];
    this.readout.hidden = false;
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
          ["", token.chosen ? "put there by you" : null],
        ]),
        rows.length ? h("ol", { class: "alternatives" }, ...rows.map((one) => this.#alternative(i, one, isSame(one, token)))) : null,
        this.onDraw && token.id !== null ? this.#drawButton(i) : null,
      ),
    );
  }

  #alternative(i, token, isChosen) {
    const share = token.logprob === null ? 0 : Math.exp(token.logprob);
    const cells = [h("span", { class: "word" }, ...visible(token.text || (spelled(token) ?? ""))), bar(share), h("span", { class: "percent" }, percent(share))];
    if (!this.onPick || isChosen || token.id === null) return h("li", { class: isChosen ? "chosen" : null }, h("span", { class: "alternative" }, ...cells));
    const title = `Go on from “${token.text}” in its place`;
    const button = h("button", { type: "button", class: "alternative", title, on: { click: () => this.onPick(i, token) } }, ...cells);
    return h("li", {}, button);
  }

  #drawButton(i) {
    const button = h("button", { type: "button", class: "button button--plain button--small" }, "How it was drawn");
    button.addEventListener("click", () => this.onDraw(i));
    return button;
  }
}

/** The probability that the draw was made with, after temperature and filters. */
function sampled(token) {
  return token.sampled_logprob === null || token.sampled_logprob === undefined ? null : percent(Math.exp(token.sampled_logprob));
}

/** The merges of a word, one a step: asks for them while the word is typed, and shows the newest answer only. */

import { call, inWords } from "./api.js";
import { byId, debounce, h, say } from "./dom.js";
import { count, many } from "./format.js";
import { hex, visible } from "./glyphs.js";

const PAUSE_MS = 150;

export class MergePlayer {
  constructor() {
    this.text = byId("merge-text");
    this.select = byId("merge-tokenizer");
    this.slider = byId("merge-step");
    this.asking = null;
    this.text.addEventListener("input", debounce(() => this.refresh(), PAUSE_MS));
    this.select.addEventListener("change", () => this.refresh());
    this.slider.addEventListener("input", () => this.#draw());
    byId("merge-back").addEventListener("click", () => this.#move(-1));
    byId("merge-on").addEventListener("click", () => this.#move(1));
  }

  /** Offer the tokenizers that merge; one of them that has just been `made` is chosen at once. */
  offer(rows, made, preferred) {
    const usable = rows.filter((row) => row.available && row.kind === "bpe").map((row) => row.name);
    const before = [made?.name, this.select.value, preferred].find((name) => usable.includes(name));
    this.select.replaceChildren(...usable.map((name) => h("option", { value: name }, name)));
    if (before) this.select.value = before;
    return this.refresh();
  }

  /** Play a word, by this tokenizer where it merges. */
  play(word, tokenizer) {
    this.text.value = word;
    if ([...this.select.options].some((option) => option.value === tokenizer)) this.select.value = tokenizer;
    return this.refresh();
  }

  /** Ask for the merges of what stands there now, and show the bytes they begin with. */
  async refresh() {
    this.asking?.abort();
    const asking = new AbortController();
    this.asking = asking;
    const text = this.text.value;
    if (!text || !this.select.value) return this.#fail(text ? "" : "Type a word to see how it is put together.");
    const path = `/tokenizers/${encodeURIComponent(this.select.value)}/merges?text=${encodeURIComponent(text)}`;
    try {
      const answer = await call(path, { signal: asking.signal });
      if (this.asking === asking) this.#show(answer);
    } catch (error) {
      if (this.asking === asking && error.name !== "AbortError") this.#fail(inWords(error));
    }
  }

  #fail(message) {
    byId("merge-player").hidden = true;
    say(byId("merge-error"), message);
  }

  #show(answer) {
    say(byId("merge-error"), "");
    byId("merge-player").hidden = false;
    this.answer = answer;
    this.steps = answer.words.flatMap((word, place) => word.steps.map((step, number) => ({ step, place, number })));
    this.slider.max = String(this.steps.length);
    this.slider.value = "0";
    this.#draw();
  }

  #move(by) {
    this.slider.value = String(Number(this.slider.value) + by);
    this.#draw();
  }

  /** The pieces of all words after as many steps as the slider says; words are put together one after the other. */
  #draw() {
    const done = Number(this.slider.value);
    const [last, next] = [this.steps[done - 1], this.steps[done]];
    const nodes = this.answer.words.flatMap((word, place) => {
      const own = this.steps.slice(0, done).filter((each) => each.place === place).length;
      const pieces = own ? word.steps[own - 1].pieces : word.bytes;
      return pieces.map((one, i) => {
        const isNext = next?.place === place && (i === next.step.at || i === next.step.at + 1);
        const isNew = last?.place === place && i === last.step.at;
        return piece(one, { isNext, isNew, isFirst: i === 0 && place > 0 });
      });
    });
    byId("merge-pieces").replaceChildren(...nodes);
    byId("merge-back").disabled = done === 0;
    byId("merge-on").disabled = done === this.steps.length;
    this.slider.setAttribute("aria-valuetext", `${done} of ${many(this.steps.length, "merge")}`);
    byId("merge-told").replaceChildren(...this.#told(done, last));
  }

  #told(done, last) {
    const total = this.steps.length;
    const nodes = last ? merged(last.step, done, total) : [`${many(this.#bytes(), "byte")}, each a piece of its own.`];
    if (done < total) return nodes;
    const whole = this.answer.words.some((word) => word.whole) ? " A word that stands in the vocabulary is taken whole." : "";
    const ids = this.answer.words.flatMap((word) => word.tokens.map((token) => token.id));
    return [...nodes, ` No pair is left to merge: ${many(ids.length, "token")}, ${ids.join(" ")}.${whole}`];
  }

  #bytes() {
    return this.answer.words.reduce((sum, word) => sum + word.bytes.length, 0);
  }
}

function piece(one, { isNext, isNew, isFirst }) {
  const kinds = [isNext && "next", isNew && "new", isFirst && "first"].filter(Boolean);
  return h(
    "span",
    { class: ["merge-piece", ...kinds.map((kind) => `merge-piece--${kind}`)].join(" ") },
    h("span", {}, ...shown(one)),
    h("span", { class: "merge-piece__bytes" }, hex(one.bytes)),
  );
}

/** The text of a piece; bytes that are no character by themselves have only their numbers. */
function shown(one) {
  return one.text.includes("\ufffd") ? ["…"] : visible(one.text);
}

function merged(step, done, total) {
  const name = (one) => h("code", {}, ...(one.text.includes("\ufffd") ? [hex(one.bytes)] : visible(one.text)));
  return [
    `Merge ${done} of ${total}: `,
    name(step.left),
    " and ",
    name(step.right),
    ` become id ${step.id}. ${step.rank ? `${count(step.rank)} merges were learnt before this one.` : "It was the first merge learnt."}`,
  ];
}

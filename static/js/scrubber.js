/** The slider along a job's checkpoints, and beside it what the one at its stop makes of a prompt that stays. */

import { asked, rememberBeside } from "./address.js";
import { inWords } from "./api.js";
import { AttentionMatrix } from "./attention_matrix.js";
import { CheckpointReadings } from "./checkpoint_readings.js";
import { byId, debounce, h, say } from "./dom.js";
import { count } from "./format.js";
import { drawNext } from "./next_tokens.js";

const SOON_MS = 150;
const SLOW_MS = 1000;
const MOVES = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -5, PageUp: 5, Home: -Infinity, End: Infinity };
const UNASKED = "Nothing is asked of a checkpoint before you drag the slider, or press the button.";

export class Scrubber {
  /** `chart` is marked where the stops are; `onMissing()` is called where a checkpoint turns out to be gone. */
  constructor(chart, onMissing) {
    const { kind, prompt, tokens, kept } = byId("scrubber").dataset;
    Object.assign(this, { chart, onMissing, keeps: kept, ownPrompt: prompt, hasText: kind !== "classes" });
    this.readings = new CheckpointReadings(kind, Number(tokens), { onPart: () => this.#draw(), onRest: (error) => this.#rested(error) });
    this.matrix = this.hasText && new AttentionMatrix((row) => this.matrix.show(this.matrix.head, "attention", row));
    this.range = byId("scrub-range");
    this.steps = [];
    this.step = asked().has("step") ? Number(asked().get("step")) : null;
    this.isBegun = asked().has("step");
    this.askSoon = debounce(() => this.#ask(), SOON_MS);
    this.#listen();
    chart.onRange = (range) => {
      this.isUnderCurve = true;
      this.#reach(range);
    };
    chart.onPick = (place) => this.#go(this.#nearest(place));
  }

  #listen() {
    this.range.addEventListener("pointerdown", () => (this.isDragged = true));
    this.range.addEventListener("pointerup", () => (this.isDragged = false));
    this.range.addEventListener("input", () => this.#slid(this.range.valueAsNumber));
    this.range.addEventListener("keydown", (event) => {
      if (!(event.key in MOVES) || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      this.#go(this.#at() + MOVES[event.key]);
    });
    byId("scrub-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#begin();
    });
    const beginSoon = debounce(() => this.#begin(), 2 * SOON_MS);
    byId("scrub-prompt").addEventListener("input", beginSoon);
    if (this.hasText) for (const id of ["scrub-layer", "scrub-head"]) byId(id).addEventListener("input", beginSoon);
  }

  /** Take in what the page knows of the job by now: `saved` steps, checkpoints that are `kept`, `samples` by step. */
  update({ saved, kept, samples, job }) {
    const wasLast = this.step === null || this.step === this.steps.at(-1);
    const known = this.steps.length;
    this.models = new Map(kept.map((one) => [one.step, one.id]));
    this.steps = [...new Set([...saved, ...this.models.keys()])].sort((one, other) => one - other);
    Object.assign(this, { samples, total: job.total_steps });
    byId("scrub-marks").replaceChildren(...this.steps.map((step) => h("option", { value: step })));
    if (!this.steps.includes(this.step) || (known && wasLast)) this.step = this.steps.at(-1);
    if (!this.isUnderCurve) this.#reach([0, this.steps.at(-1)]); // until the curve tells which steps it shows
    this.#show();
    byId("scrub").hidden = byId("scrubber").hidden = false;
  }

  #reach([low, high]) {
    Object.assign(this.range, { min: low, max: high, value: this.step });
  }

  #at() {
    return this.steps.indexOf(this.step);
  }

  #nearest(place) {
    const ways = this.steps.map((step) => Math.abs(step - place));
    return ways.indexOf(Math.min(...ways));
  }

  /** To the stop that is nearest; what turns the slider without a pointer turns it by a hair, and means the next one. */
  #slid(place) {
    const to = this.#nearest(place);
    this.#go(to === this.#at() && !this.isDragged ? to + Math.sign(place - this.step) : to);
  }

  #go(to) {
    const step = this.steps[Math.max(0, Math.min(this.steps.length - 1, to))];
    this.range.value = step;
    if (step === this.step && this.isBegun) return;
    this.step = step;
    this.#begin();
  }

  #begin() {
    this.isBegun = true;
    this.#show();
  }

  #prompt() {
    return byId("scrub-prompt").value || this.ownPrompt;
  }

  #number(name) {
    return this.hasText ? Math.max(0, byId(`scrub-${name}`).valueAsNumber || 0) : 0;
  }

  /** Draw what is known of the stop, and ask for what is not. */
  #show() {
    const prompt = this.#prompt();
    this.readings.pin(prompt);
    const [layer, head] = [this.#number("layer"), this.#number("head")];
    const sample = prompt === this.ownPrompt ? this.samples.get(this.step) : undefined;
    this.wish = { model: this.models.get(this.step), layer, head, sample, without: sample === undefined ? "" : "text" };
    this.range.value = this.step;
    const gone = this.wish.model ? "" : ", no longer kept";
    const where = `step ${count(this.step)} of ${count(this.total)}, checkpoint ${this.#at() + 1} of ${this.steps.length}${gone}`;
    this.range.setAttribute("aria-valuetext", where);
    byId("scrub-where").textContent = where;
    byId("scrubber-title").textContent = `At step ${count(this.step)}`;
    this.chart.mark(this.steps, this.step);
    say(byId("scrub-error"), "");
    this.#draw();
    if (!this.isBegun) return;
    rememberBeside({ step: this.step, prompt: prompt === this.ownPrompt ? "" : prompt, layer: layer || "", head: head || "" });
    if (!this.wish.model) this.readings.rest();
    else this.askSoon();
  }

  #ask() {
    if (!this.wish.model) return;
    clearTimeout(this.slow);
    this.slow = setTimeout(() => (byId("scrub-progress").hidden = false), SLOW_MS);
    this.readings.want(this.wish);
  }

  #rested(error) {
    clearTimeout(this.slow);
    byId("scrub-progress").hidden = true;
    if (error?.code === "checkpoint_not_found") this.onMissing();
    else if (error) say(byId("scrub-error"), inWords(error));
  }

  #draw() {
    const { wish } = this;
    const isGone = !wish.model;
    byId("scrub-status").textContent = isGone ? `The checkpoint of step ${count(this.step)} is no longer kept: this job keeps ${this.keeps}.` : this.isBegun ? "" : UNASKED;
    if (isGone) this.#rested(null);
    const part = (name) => (isGone ? undefined : this.readings.known(name, wish));
    this.#panel("next", part(this.hasText ? "next" : "classes"), (top) => drawNext(top, { isOwn: true }), () => drawNext([]));
    if (!this.hasText) return;
    const shape = part("shape");
    if (shape) byId("scrub-layer").max = shape.layers.length - 1;
    if (shape) byId("scrub-head").max = shape.heads.length - 1;
    this.#panel("head", part("head"), (head) => this.#drawHead(head), () => this.matrix.clear());
    this.#panel("text", wish.sample ?? part("text"), (text) => this.#drawText(text), () => this.#drawText(""));
  }

  /** Draw a part; until it is there the one before stands, dimmed, but for a checkpoint that will never tell. */
  #panel(name, value, draw, clear) {
    const isDim = value === undefined && this.wish.model;
    byId(`scrub-${name}-panel`).classList.toggle("is-old", Boolean(isDim && this.isBegun));
    if (value !== undefined) draw(value);
    else if (!isDim) clear();
  }

  #drawHead(head) {
    const row = head.tokens === this.matrix.head?.tokens ? this.matrix.cell.row : head.count - 1;
    this.matrix.show(head, "attention", row);
  }

  #drawText(text) {
    byId("scrub-text").textContent = text;
    const byJob = "As the job itself wrote it at this step.";
    byId("scrub-text-note").textContent = !text ? "" : this.wish.sample === undefined ? "Written now by this checkpoint, the likeliest token each time." : byJob;
  }
}

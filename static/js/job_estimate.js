/** What the job in the form would take, asked for by a button. */

import { call, inWords } from "./api.js";
import { byId, h, say } from "./dom.js";
import { count, duration, many, size } from "./format.js";
import { NotANumber } from "./numbers.js";

export class JobEstimate {
  /** `body` gives what POST /jobs would be sent; `refused` takes an error of it. */
  constructor(body, refused) {
    this.body = body;
    this.refused = refused;
    this.button = byId("estimate");
    this.button.addEventListener("click", () => this.ask());
  }

  /** What is shown was about another form. */
  forget() {
    byId("estimate-figures").replaceChildren();
  }

  async ask() {
    this.button.disabled = true;
    this.forget();
    say(byId("job-error"), "");
    byId("estimate-figures").textContent = "Trying some steps; this takes up to a minute …";
    try {
      const answer = await call("/jobs/estimate", { method: "POST", body: this.body() });
      byId("estimate-figures").replaceChildren(h("ul", {}, ...lines(answer).map((line) => h("li", {}, line))));
    } catch (error) {
      this.forget();
      say(byId("job-error"), error instanceof NotANumber ? error.message : inWords(error));
      this.refused(error);
    } finally {
      this.button.disabled = false;
    }
  }
}

/** What an estimate says, a line each. */
export function lines({ parameters, memory, disk, size: job, speed, seconds, why_no_speed: whyNot, problems }) {
  const about = job.exact ? "" : "about ";
  const there = memory.there === null ? "" : ` of ${size(memory.there)}`;
  const found = [
    `${many(parameters.all, "parameter")}, ${count(parameters.learning)} of them learn`,
    `${size(memory.total)}${there} of memory: weights ${size(memory.weights)}, gradients ${size(memory.gradients)}, optimizer ${size(memory.optimizer)}, activations ${size(memory.activations)}, the process ${size(memory.process)}`,
    `${many(disk.copies, "checkpoint")} of ${size(disk.checkpoint)}; ${size(disk.free)} of disk are free`,
    `${many(job.steps, "step")}, ${count(job.tokens)} tokens: ${about}${job.epochs.toFixed(2)} times through ${count(job.dataset_tokens)} tokens`,
  ];
  if (speed) {
    const range = `${duration(seconds.low)} to ${duration(seconds.high)}`;
    found.push(`${duration(seconds.expected)} (${range}), at ${count(Math.round(speed.tokens_per_s))} tokens/s on ${speed.device}`);
  } else {
    found.push(`The speed was not measured: ${whyNot}`);
  }
  return [...found, ...problems.map((problem) => problem.message)];
}

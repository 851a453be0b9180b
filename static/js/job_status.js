/** How a job's state looks and which states are final. */

import { h } from "./dom.js";
import { count } from "./format.js";

const FINAL = ["succeeded", "failed", "cancelled"];

export function isFinal(job) {
  return FINAL.includes(job.status);
}

export function mayPause(job) {
  return ["queued", "running"].includes(job.status) && !job.pause_requested && !job.cancel_requested;
}

export function mayResume(job) {
  return job.status === "paused" || (job.pause_requested && !job.cancel_requested);
}

/** Whether its turn is still to come, so that its priority counts. */
export function waits(job) {
  return ["queued", "paused"].includes(job.status);
}

export function badge(status) {
  return h("span", { class: `badge badge--${status}` }, status);
}

/** Steps done and asked for, in words. */
export function steps(job) {
  return job.total_steps ? `${count(job.step)} of ${count(job.total_steps)}` : count(job.step);
}

/** Whether what the job makes can be tried in the playground: word vectors and classifiers cannot. */
export function writes(job) {
  return !["word2vec", "classify"].includes(job.recipe);
}

/** Where a model is tried; it may be a registered model or a checkpoint. */
export function tryAddress(model) {
  return `/?model=${encodeURIComponent(model).replace("%40", "@")}#generate`;
}

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

/** Whether what the job makes can write: word vectors, classifiers and evaluations do not. */
export function writes(job) {
  return !["word2vec", "classify", "evaluate"].includes(job.recipe);
}

/** Where a model that writes is tried; it may be a registered model or a checkpoint. */
export function tryAddress(model) {
  return `/ui/generate?model=${named(model)}`;
}

/** Where it is looked into. */
export function lookAddress(model) {
  return `/ui/attention?model=${named(model)}`;
}

/** Where the vectors of a model are looked at. */
export function vectorsAddress(model) {
  return `/ui/embeddings?show=frequent&model=${named(model)}`;
}

/** Where what a job makes, or a checkpoint of it, can be used, and what each link is called, at length and in short. */
export function usesOf(job, model) {
  if (job.recipe === "word2vec") return [{ address: vectorsAddress(model), label: "See its vectors", short: "Vectors" }];
  if (!writes(job)) return [];
  return [
    { address: tryAddress(model), label: "Try the model", short: "Try it" },
    { address: lookAddress(model), label: "Look inside the model", short: "Look inside" },
  ];
}

function named(model) {
  return encodeURIComponent(model).replace("%40", "@");
}

const MEASURED_AS = { pretrain: "perplexity", classify: "accuracy", instruct: "answers", dpo: "answers" };

/** Where a job's model is measured on the data that it learnt from; null where it cannot be. */
export function measureAddress({ recipe, result, dataset }) {
  const kind = MEASURED_AS[recipe];
  if (!kind || !result?.model) return null;
  return `/ui/train?${new URLSearchParams({ recipe: "evaluate", kind, model: result.model, ...(typeof dataset === "string" && { dataset }) })}`;
}

/** Draws the parts of a job's page: figures, samples, checkpoints, events. Knows nothing of the wire's order. */

import { byId, h } from "./dom.js";
import { compact, count, duration, loss, moment, percent, size } from "./format.js";

const MOST_SAMPLES = 40;
const MOST_EVENTS = 300;

function pairs(list, items) {
  const known = items.filter(([, value]) => value !== null && value !== undefined);
  list.replaceChildren(...known.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

/** The figures beside the progress bar; `row` is the newest row of metrics. */
export function drawVitals(job, row, now) {
  const seconds = job.started_at ? (job.finished_at ?? now) - job.started_at : null;
  pairs(byId("vitals"), [
    ["loss", row ? loss(row.loss) : null],
    ["tokens a second", row?.tokens_per_s ? count(Math.round(row.tokens_per_s)) : null],
    ["of peak compute", row?.peak_share ? percent(row.peak_share) : null],
    ["data and reports", row?.data_share ? percent(row.data_share + row.report_share) : null],
    ["memory", row?.memory_bytes ? size(row.memory_bytes) : null],
    ["on the GPU", row?.device_memory_bytes ? size(row.device_memory_bytes) : null],
    ["tokens seen", row?.tokens ? compact(row.tokens) : null],
    [job.finished_at ? "took" : "running for", seconds === null ? null : duration(seconds)],
    ["left", job.status === "running" && row?.seconds_left ? `about ${duration(row.seconds_left)}` : null],
    ["attempt", job.attempt > 1 ? String(job.attempt) : null],
  ]);
}

function keptBack(validation) {
  if (typeof validation === "number") return `${validation * 100} %`;
  return typeof validation === "string" ? validation : `${validation.dataset}, column ${validation.column}`;
}

export function drawSetup(job, datasetName) {
  const model = job.evaluate ? `measures ${job.model}` : typeof job.model === "string" ? `continues ${job.model}` : Object.entries(job.model).map(([name, value]) => `${name}: ${value}`).join(", ");
  const settings = Object.entries(job.evaluate ?? job.train).filter(([, value]) => value !== null);
  pairs(byId("setup"), [
    ["text", datasetName],
    ["model", model],
    ["tokenizer", job.tokenizer],
    ["kept back", job.evaluate ? null : keptBack(job.validation)],
    ["seed", String(job.seed)],
    ...settings.map(([name, value]) => [name.replaceAll("_", " "), typeof value === "object" ? JSON.stringify(value) : String(value)]),
  ]);
}

function prepend(list, item, most) {
  list.hidden = false;
  list.prepend(item);
  while (list.children.length > most) list.lastElementChild.remove();
}

/** What an empty part says once the job has ended and all that happened was read. */
export function sayNothingCame() {
  byId("chart-empty").textContent = "It ended before the first report.";
  byId("samples-empty").textContent = "No sample was written.";
  byId("checkpoints-empty").textContent = "None was saved.";
}

export function addSample(step, text) {
  byId("samples-empty").hidden = true;
  const item = h("li", {}, h("span", { class: "note" }, `at step ${count(step)}`), h("blockquote", {}, text));
  prepend(byId("samples"), item, MOST_SAMPLES);
}

export function addEvent(event) {
  byId("events-empty").hidden = true;
  const time = h("time", { datetime: new Date(event.created_at * 1000).toISOString() }, moment(event.created_at).split(", ").at(-1));
  prepend(byId("events"), h("li", {}, time, h("span", { class: `level-${event.level}` }, event.message)), MOST_EVENTS);
}

/** Each with links to where it can be used, as `usesOf` tells of it, and a button where `onDelete` may be asked. */
export function drawCheckpoints(checkpoints, { usesOf, mayDelete, onDelete }) {
  byId("checkpoints-size").textContent = checkpoints.length ? size(checkpoints.reduce((sum, one) => sum + one.size_bytes, 0)) : "";
  byId("checkpoints-empty").hidden = checkpoints.length > 0;
  byId("checkpoints-table").hidden = checkpoints.length === 0;
  const cell = (text) => h("td", { class: "figure" }, text);
  byId("checkpoints").replaceChildren(
    ...checkpoints.map((one) =>
      h(
        "tr",
        {},
        cell(one.is_best ? `${count(one.step)} (best)` : count(one.step)),
        cell(loss(one.metrics?.val_loss ?? one.metrics?.loss)),
        cell(size(one.size_bytes)),
        h("td", {}, ...usesOf(one).flatMap((use, at) => [at ? " · " : "", useLink(one, use)])),
        h("td", {}, mayDelete(one) ? deleteButton(one, onDelete) : null),
      ),
    ),
  );
}

function useLink(checkpoint, { address, short }) {
  return h("a", { href: address, "aria-label": `${short}, of the checkpoint of step ${checkpoint.step}` }, short);
}

/** It asks once more before it deletes. */
function deleteButton(one, onDelete) {
  const button = h("button", { type: "button", class: "button button--plain button--small", "aria-label": `Delete the checkpoint of step ${one.step}` }, "Delete");
  let isAsked = false;
  button.addEventListener("click", () => {
    if (isAsked) {
      onDelete(one);
      return;
    }
    isAsked = true;
    button.textContent = "Delete it?";
    button.setAttribute("aria-label", `Delete the checkpoint of step ${one.step}, for good`);
    button.classList.replace("button--plain", "button--bad");
  });
  return button;
}

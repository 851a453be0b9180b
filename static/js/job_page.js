/** The page of one job: what happened so far is fetched, what happens from now on is followed. */

import { all, call, inWords, sentence } from "./api.js";
import { drawReport } from "./class_report.js";
import { curl } from "./command.js";
import { installCopyButtons } from "./copying.js";
import { byId, debounce, say } from "./dom.js";
import { JobControls } from "./job_controls.js";
import { follow } from "./job_feed.js";
import { addEvent, addSample, drawCheckpoints, drawSetup, drawVitals, sayNothingCame } from "./job_parts.js";
import { isFinal, measureAddress, steps, usesOf } from "./job_status.js";

const WAITING_LONG_S = 15;
const ASK_EVERY_S = 5;
const CURVE_POINTS = 800;
const WORDS = ["message", "sample", "checkpoint", "status"]; // types of events that are not in the curve

export class JobPage {
  /** `charts` take rows of metrics in, `scrubber()` brings the slider; an `evaluation` has neither. */
  constructor(id, { charts = [], scrubber = null, evaluation = null }) {
    Object.assign(this, { id, charts, bringScrubber: scrubber, evaluation });
    this.path = `/jobs/${encodeURIComponent(id)}`;
    this.newest = null;
    this.problem = "";
    this.saved = new Set(); // steps of checkpoints, those that are gone among them
    this.kept = [];
    this.samples = new Map(); // by step
    this.scrubSoon = debounce(() => this.#scrub(), 200);
    this.refreshSoon = debounce(() => this.#trying(() => this.refresh()), 200);
    this.checkpointsSoon = debounce(() => this.#trying(() => this.checkpoints()), 200);
    this.controls = new JobControls(this.path, (job) => {
      this.job = job;
      this.draw();
    });
  }

  async start() {
    installCopyButtons();
    let seconds = 0;
    const clock = setInterval(() => {
      seconds += 1;
      if (["queued", "validating_files"].includes(this.job?.status) && seconds % ASK_EVERY_S === 0) this.refreshSoon(); // no event tells of workers
      if (this.job?.status === "running" && seconds % ASK_EVERY_S === 0) this.evaluation?.refresh();
      if (this.job) this.draw();
    }, 1000);
    try {
      await this.refresh();
      const [since] = await Promise.all([this.#past(), this.#setup(), this.checkpoints()]);
      this.job = await follow(this.id, since, (event) => this.take(event), (error) => this.#lost(error));
      sayNothingCame();
      this.draw();
      await this.checkpoints();
      await this.evaluation?.end(this.job);
      await this.#report();
    } catch (error) {
      say(byId("job-error"), inWords(error));
    } finally {
      clearInterval(clock);
    }
  }

  async #trying(step) {
    try {
      await step();
      this.problem = "";
    } catch (error) {
      this.problem = inWords(error);
    }
    this.draw();
  }

  async refresh() {
    this.job = await call(this.path);
    this.draw();
  }

  /** What happened, and after it the curve, in so many points; the id of the last event, null before the first. */
  async #past() {
    const events = await all(`${this.path}/events?${WORDS.map((type) => `type=${type}`).join("&")}`);
    for (const event of events) this.take(event);
    const rows = (await call(`${this.path}/metrics?points=${CURVE_POINTS}`)).data;
    for (const chart of this.charts) chart.add(rows);
    for (const row of rows) this.#measure(row);
    this.draw();
    this.scrubSoon();
    return events.at(-1)?.id ?? null;
  }

  async checkpoints() {
    const { data } = await call(`${this.path}/checkpoints`);
    this.kept = data;
    this.scrubSoon();
    drawCheckpoints(data, {
      usesOf: (one) => usesOf(this.job, one.id),
      mayDelete: (one) => isFinal(this.job) || one !== data[0], // a job that has not ended goes on from the last one
      onDelete: (one) => this.#trying(() => this.#forget(one)),
    });
  }

  /** The slider along the checkpoints; its script comes with the first of them. */
  async #scrub() {
    if (!document.getElementById("scrubber") || !(this.kept.length || this.saved.size)) return;
    this.scrubber ??= this.bringScrubber(this.checkpointsSoon);
    (await this.scrubber).update(this);
  }

  async #forget(checkpoint) {
    await call(`${this.path}/checkpoints/${checkpoint.step}`, { method: "DELETE" });
    await this.checkpoints();
  }

  /** Of a classifier; a job that kept nothing back has none. */
  async #report() {
    if (this.job.recipe !== "classify" || this.job.status !== "succeeded") return;
    try {
      drawReport(await call(`${this.path}/report`));
    } catch (error) {
      if (error.code !== "report_not_found") throw error;
    }
  }

  async #setup() {
    const { recipe, dataset, model, tokenizer, validation, train, evaluate, seed, columns, test } = this.job;
    const changed = Object.fromEntries(Object.entries(evaluate ?? train).filter(([, value]) => value !== null));
    const body = evaluate ? { recipe, dataset, model, evaluate: changed, seed } : { recipe, dataset, model, validation, train: changed, seed };
    if (Object.keys(columns).length) Object.assign(body, evaluate ? { columns } : { columns, test });
    if (typeof model !== "string") body.tokenizer = tokenizer;
    byId("job-command").textContent = curl("/jobs", body);
    drawSetup(this.job, await this.#datasetName(dataset));
  }

  /** A dataset may be gone since; its id is then all that can be said. */
  async #datasetName(dataset) {
    const ids = typeof dataset === "string" ? [dataset] : dataset.map((one) => one.dataset);
    const names = await Promise.all(
      ids.map((id) => call(`/datasets/${encodeURIComponent(id)}`).then((row) => row.name, () => `${id} (deleted)`)),
    );
    return names.join(", ");
  }

  #measure(row) {
    const before = this.newest;
    if (before && row.step <= before.step) return;
    this.newest = { ...row, loss: row.loss ?? before?.loss };
    this.job.step = Math.max(this.job.step, row.step);
  }

  /** One event of the job, from the past as from now: what is known already is not drawn twice. */
  take(event) {
    if (event.type === "metrics") {
      for (const chart of this.charts) chart.add([event.data]);
      this.#measure(event.data);
      this.draw();
      return;
    }
    addEvent(event);
    const { step } = event.data;
    if (event.type === "sample") {
      addSample(step, event.data.text);
      this.samples.set(step, event.data.text);
      this.scrubSoon();
    }
    if (event.type === "checkpoint") {
      this.saved.add(step);
      this.checkpointsSoon();
    }
    if (event.type === "status") this.refreshSoon();
  }

  draw() {
    const { job } = this;
    const badge = byId("status");
    badge.textContent = job.status;
    badge.className = `badge badge--${job.status}`;
    byId("steps").textContent = `step ${steps(job)}`;
    byId("progress").value = job.total_steps ? job.step / job.total_steps : 0;
    this.controls.draw(job);
    const use = job.result?.model ? usesOf(job, job.result.model)[0] : null;
    byId("try").hidden = !use;
    if (use) byId("try").href = use.address;
    if (use) byId("try").textContent = use.label;
    const measure = measureAddress(job);
    byId("measure").hidden = !measure;
    if (measure) byId("measure").href = measure;
    drawVitals(job, this.newest, Date.now() / 1000);
    if (!this.isLost) say(byId("job-notice"), this.#notice());
    say(byId("job-error"), this.controls.problem || this.problem || (job.error ? sentence(job.error.message) : ""));
  }

  #notice() {
    const { job } = this;
    if (job.status === "paused") return "Paused. It goes on from its last checkpoint when it is resumed, with the numbers it would have had.";
    if (job.status === "running") return job.cancel_requested ? "Stopping after this step …" : job.pause_requested ? "Pausing after this step …" : "";
    if (isFinal(job)) return "";
    if (job.cancel_requested) return "Waiting for a worker to make the model of its last checkpoint; then it ends.";
    const waited = Date.now() / 1000 - job.created_at;
    if (job.waiting_for && waited > ASK_EVERY_S) return `Waiting: ${job.waiting_for}.`;
    const long = "Still waiting. Another job may be running, or no worker is there; the command “inkling worker” starts one.";
    return waited > WAITING_LONG_S ? long : "Waiting for a worker to take it …";
  }

  #lost(error) {
    this.isLost = error !== null;
    say(byId("job-notice"), error ? `The connection is lost; trying again. ${inWords(error)}` : this.#notice());
  }
}

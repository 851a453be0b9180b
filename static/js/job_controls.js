/** The buttons of a job's page: what may be asked of it in its state, asked, and what came of it. */

import { call, inWords } from "./api.js";
import { byId } from "./dom.js";
import { isFinal, mayPause, mayResume, waits } from "./job_status.js";

const MAY = {
  pause: mayPause,
  resume: mayResume,
  retry: (job) => ["failed", "cancelled"].includes(job.status),
  cancel: (job) => !isFinal(job),
  delete: (job) => job.status !== "running",
};

export class JobControls {
  /** `onJob` is handed the job after each thing that was asked, done or refused. */
  constructor(path, onJob) {
    this.path = path;
    this.onJob = onJob;
    this.problem = "";
    for (const what of ["pause", "resume", "retry"]) byId(what).addEventListener("click", () => this.ask(what));
    for (const what of ["cancel", "delete"]) {
      byId(what).addEventListener("click", () => this.#sure(what, true));
      byId(`${what}-no`).addEventListener("click", () => this.#sure(what, false));
    }
    byId("cancel-yes").addEventListener("click", () => this.ask("cancel", { keep_model: byId("keep-model").checked }));
    byId("delete-yes").addEventListener("click", () => this.#remove());
    byId("duplicate").addEventListener("click", () => this.#duplicate());
    byId("priority").addEventListener("change", () => this.#prioritise());
  }

  draw(job) {
    this.job = job;
    for (const [what, may] of Object.entries(MAY)) byId(what).hidden = !may(job);
    for (const what of ["cancel", "delete"]) if (!MAY[what](job)) byId(`${what}-sure`).hidden = true;
    byId("waits").hidden = !waits(job);
    if (document.activeElement !== byId("priority")) byId("priority").value = String(job.priority);
  }

  /** Ask, once; what was followed to its end is followed anew, by loading the page again. */
  async ask(what, body) {
    const hadEnded = isFinal(this.job);
    await this.#trying(async () => {
      this.job = await call(`${this.path}/${what}`, { method: "POST", body });
      if (hadEnded) location.reload();
    });
  }

  async #prioritise() {
    await this.#trying(async () => {
      const body = { priority: byId("priority").valueAsNumber };
      this.job = await call(this.path, { method: "PATCH", body });
    });
  }

  async #duplicate() {
    await this.#trying(async () => {
      const job = await call(`${this.path}/duplicate`, { method: "POST", body: {} });
      location.assign(`/ui/jobs/${encodeURIComponent(job.id)}`);
    });
  }

  async #remove() {
    await this.#trying(async () => {
      await call(this.path, { method: "DELETE" });
      location.assign("/ui/jobs");
    });
  }

  #sure(what, isAsked) {
    byId(`${what}-sure`).hidden = !isAsked;
    byId(isAsked ? `${what}-no` : what).focus();
  }

  async #trying(step) {
    byId("cancel-sure").hidden = true;
    byId("delete-sure").hidden = true;
    try {
      await step();
      this.problem = "";
    } catch (error) {
      this.problem = inWords(error);
    }
    this.onJob(this.job);
  }
}

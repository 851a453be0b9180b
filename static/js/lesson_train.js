/** A step that trains: what the job would take, the job itself, followed, and its losses beside the book's. */

import { call, inWords, Refusal } from "./api.js";
import { h } from "./dom.js";
import { lines } from "./job_estimate.js";
import { follow } from "./job_feed.js";
import { badge, steps } from "./job_status.js";
import { LessonForm } from "./lesson_form.js";

export class LessonTrain extends LessonForm {
  constructor(form, step, progress) {
    super(form, step, { path: "/jobs", ...JSON.parse(form.getAttribute("data-train")) });
    this.step = step;
    this.progress = progress;
    const job = progress.jobOf(step);
    if (job) this.#follow(job);
  }

  request() {
    const { recipe, runs } = this.plan;
    const { path, body } = this.fields.request(this.plan.path, { recipe, ...runs[this.form.elements.run.value] });
    delete body.run;
    return { path, body };
  }

  submit(button) {
    return this.working(() => (button?.value === "start" ? this.#start() : this.#estimate()));
  }

  async #estimate() {
    this.part("view").hidden = true;
    this.part("status").textContent = "Trying some steps; this takes up to a minute …";
    const answer = await call("/jobs/estimate", { method: "POST", body: this.request().body });
    this.part("view").hidden = false;
    this.part("view").replaceChildren(h("ul", { class: "note" }, ...lines(answer).map((line) => h("li", {}, line))));
  }

  async #start() {
    const { path, body } = this.request();
    const job = await call(path, { method: "POST", body });
    this.progress.begun(this.step, job.id);
    this.#follow(job.id);
  }

  /** Show how the job is, until it ends; one that is gone is forgotten. */
  async #follow(id) {
    this.job = id;
    const path = `/jobs/${encodeURIComponent(id)}`;
    const isMine = () => this.job === id; // and not of one that was begun since
    this.part("sample").replaceChildren();
    for (const cell of this.form.querySelectorAll("[data-training], [data-validation]")) cell.textContent = "–";
    try {
      this.#tell(await call(path));
      const ended = await follow(id, null, (event) => isMine() && this.#take(event), (error) => isMine() && this.#lost(error));
      if (!isMine()) return;
      this.#tell(ended);
      if (ended.status === "succeeded") this.progress.done(this.step, { job: id });
    } catch (error) {
      if (isMine()) this.#tell({ id, status: error instanceof Refusal && error.status === 404 ? "gone" : "unknown" }, inWords(error));
    }
  }

  #take({ type, data }) {
    if (type === "metrics") {
      this.#measured(data);
      this.#tell({ ...this.told, step: data.step, status: "running" });
    } else if (type === "status" && data.status) this.#tell({ ...this.told, status: data.status });
    else if (type === "sample") this.part("sample").replaceChildren(h("p", { class: "note" }, `What it wrote at step ${data.step}`), h("p", { class: "written", dir: "auto" }, data.text));
  }

  #lost(error) {
    this.part("status").textContent = error ? "The connection is lost; trying again …" : "";
  }

  #tell(job, problem = "") {
    this.told = job;
    const part = this.part("job");
    part.hidden = false;
    const address = `/ui/jobs/${encodeURIComponent(job.id)}`;
    const where = job.status === "gone" ? "That job is not there any more." : h("a", { href: address }, "All of it is on its page.");
    const made = job.result?.model ? ` It made the model ${job.result.model}. ` : " ";
    const said = job.status === "gone" ? "" : job.error?.message ?? problem;
    part.replaceChildren(badge(job.status), job.total_steps ? ` step ${steps(job)}.` : "", made, where, said ? ` ${said}` : "");
  }

  /** Put the losses of a step where the book has some. */
  #measured({ step, loss, train_loss: training, val_loss: validation }) {
    const { trace } = this.plan;
    const row = trace && this.form.querySelector(`[data-at="${step - trace.offset}"]`);
    if (!row) return;
    const put = (name, value) => {
      if (value !== null && value !== undefined) row.querySelector(`[data-${name}]`).textContent = value.toFixed(3);
    };
    put("training", training ?? loss);
    put("validation", validation);
  }
}

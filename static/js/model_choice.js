/** Chooses a model, and of one that a job made or makes, one of the job's checkpoints: two selects, one name. */

import { all, call } from "./api.js";
import { noteMissing, offerModels } from "./choices.js";
import { byId, h } from "./dom.js";
import { count } from "./format.js";

const WRITING = ["pretrain", "instruct", "dpo"];

/** All that can be chosen: models, and the jobs that have no model yet or never got one. */
export async function choices(isRemote) {
  if (isRemote) return { models: (await call("/v1/models")).data.map(({ id }) => ({ name: id, available: true, remote: true })), jobs: [] };
  const [models, jobs] = await Promise.all([all("/models", { key: "name" }), call("/jobs?limit=100")]);
  const made = new Set(models.map((model) => model.job));
  return { models, jobs: jobs.data.filter((job) => WRITING.includes(job.recipe) && job.step > 0 && !made.has(job.id)) };
}

export class ModelChoice {
  /** `onChange()` is called when another one is chosen. */
  constructor(id, onChange = () => {}) {
    this.select = byId(id);
    this.steps = byId(`${id}-step`);
    this.field = document.querySelector(`[data-step-of="${id}"]`);
    this.models = [];
    this.select.addEventListener("change", async () => {
      await this.#offerSteps();
      onChange();
    });
    this.steps.addEventListener("change", onChange);
  }

  /** The name that a request takes. */
  get name() {
    return this.field.hidden || this.steps.value === "" ? this.select.value : this.steps.value;
  }

  /** What is known of the model; nothing of a checkpoint that no model stands for. */
  get model() {
    return this.models.find((model) => model.name === this.select.value);
  }

  /** Offer what there is, with `name` chosen, be it listed or not. `note` takes hints of what is not on this machine. */
  async offer({ models, jobs }, name, note = null) {
    Object.assign(this, { models, jobs });
    const group = h("optgroup", { label: "Jobs, at a checkpoint" }, ...jobs.map((job) => h("option", { value: `${job.id}@` }, `${job.name} (${job.status})`)));
    this.select.replaceChildren(); // what the server wrote there for those without script
    if (models[0]?.remote) this.select.append(...models.map((model) => h("option", { value: model.name }, model.name)));
    else offerModels(this.select, models);
    if (jobs.length) this.select.append(group);
    if (note) noteMissing(note, models);
    await this.choose(name);
  }

  /** Choose by the name that a request takes; one that is in no list gets an entry of its own. */
  async choose(name) {
    const [job, step] = name.split("@");
    const model = step && this.models.find((one) => one.job === job);
    const value = model ? model.name : step && this.jobs.some((one) => one.id === job) ? `${job}@` : name;
    if (value && ![...this.select.options].some((option) => option.value === value)) {
      this.select.append(h("option", { value }, step ? `${value} (checkpoint)` : value));
    }
    if (value) this.select.value = value;
    await this.#offerSteps(step ? name : "");
  }

  async #offerSteps(wanted = "") {
    const { value } = this.select;
    const job = value.endsWith("@") ? value.slice(0, -1) : this.model?.source === "job" && this.model.job;
    this.field.hidden = true;
    this.steps.replaceChildren();
    if (!job) return;
    const { data } = await call(`/jobs/${encodeURIComponent(job)}/checkpoints`).catch(() => ({ data: [] })); // the job may be deleted
    if (this.select.value !== value || (!data.length && !wanted)) return;
    const options = data.map((one) => h("option", { value: one.id }, `step ${count(one.step)}${one.is_best ? ", the best" : ""}`));
    if (wanted && !data.some((one) => one.id === wanted)) options.push(h("option", { value: wanted }, wanted));
    this.steps.replaceChildren(...(value.endsWith("@") ? [] : [h("option", { value: "" }, "as the job ended")]), ...options);
    if (wanted) this.steps.value = wanted;
    this.field.hidden = false;
  }
}

/** The form that starts a job: choose or upload a text, a new or a known model, and how long to train. */

import { call, inWords } from "./api.js";
import { fillDatasets, fillModels, fillTokenizers, isTaught, labelColumns, textColumns } from "./choices.js";
import { curl } from "./command.js";
import { DatasetReport } from "./dataset_report.js";
import { byId, h, say } from "./dom.js";
import { count, many, size } from "./format.js";
import { JobEstimate } from "./job_estimate.js";
import { JobPreview } from "./job_preview.js";
import { mark, NotANumber, numberIn, unmark } from "./numbers.js";

const TRAIN_NUMBERS = {
  max_steps: "max-steps",
  batch_size: "batch-size",
  learning_rate: "learning-rate",
  eval_every: "eval-every",
  sample_every: "sample-every",
  checkpoint_every: "checkpoint-every",
};
const FIELDS = {
  recipe: "recipe",
  dataset: "dataset",
  "columns.text": "column",
  "columns.label": "label-column",
  "model.preset": "preset",
  tokenizer: "tokenizer",
  model: "model",
  name: "name",
  seed: "job-seed",
  devices: "devices",
  "train.sample_prompt": "sample-prompt",
  ...Object.fromEntries(Object.entries(TRAIN_NUMBERS).map(([name, id]) => [`train.${name}`, id])),
};
const STEPS = { new: 300, continue: 60 };

/** What was found in an upload, bad rows with the first of them. */
function contents(dataset) {
  if (dataset.rows === null) return `${count(dataset.characters)} characters`;
  const { bad_rows: bad, errors } = dataset.report;
  const first = errors.length ? ` (line ${errors[0].line}: ${errors[0].reason})` : "";
  return `${many(dataset.rows, "row")} of kind ${dataset.kind}${bad ? `; ${many(bad, "row")} left out${first}` : ""}`;
}

class JobForm {
  constructor() {
    this.form = byId("job-form");
    this.datasets = [];
    this.report = new DatasetReport(() => ({
      dataset: byId("dataset").value,
      tokenizer: this.#kind() === "new" ? byId("tokenizer").value : "",
    }));
    this.estimate = new JobEstimate(
      () => this.#body(),
      (error) => mark(error.param, FIELDS),
    );
    this.preview = new JobPreview(
      () => this.#body(),
      (error) => mark(error.param, FIELDS),
    );
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.start();
    });
    this.form.addEventListener("input", () => this.#changed());
    this.form.addEventListener("change", (event) => {
      if (event.target.name === "kind") this.#kindChanged();
      if (event.target.id === "recipe") this.#recipeChanged();
      if (event.target.id === "file") this.upload(event.target);
    });
  }

  /** Fill the selects. One list that does not come leaves the others usable. */
  async fill(tokenizer) {
    const parts = await Promise.allSettled([
      fillDatasets(byId("dataset"), { takesRows: true }).then((rows) => {
        this.datasets = rows;
      }),
      fillTokenizers(byId("tokenizer"), byId("tokenizer-note"), tokenizer),
      fillModels(byId("model"), byId("model-missing")),
    ]);
    const failed = parts.find((part) => part.status === "rejected");
    if (failed) say(byId("job-error"), `The form is not complete. ${inWords(failed.reason)}`);
    this.#kindChanged();
  }

  #kind() {
    return this.form.elements.kind.value;
  }

  #kindChanged() {
    const kind = this.#kind();
    byId("new-model").hidden = kind !== "new";
    byId("old-model").hidden = kind === "new";
    byId("max-steps").value = STEPS[kind];
    this.#changed();
  }

  /** Who learns to answer is a model that is there. */
  #recipeChanged() {
    if (this.#answers()) this.form.elements.kind.value = "continue";
    for (const one of this.form.elements.kind) one.disabled = this.#answers() && one.value === "new";
    this.#kindChanged();
  }

  #changed() {
    const dataset = this.#dataset();
    byId("dataset-note").textContent = dataset ? `${many(dataset.characters, "character")}` : "";
    this.#showColumns(dataset);
    this.report.refresh();
    this.estimate.forget();
    this.preview.forget(this.#answers());
    try {
      byId("job-command").textContent = curl("/jobs", this.#body());
    } catch (error) {
      if (!(error instanceof NotANumber)) throw error;
      byId("job-command").textContent = error.message;
    }
  }

  #dataset() {
    return this.datasets.find((row) => row.id === byId("dataset").value);
  }

  /** Of rows, the columns to learn from; the one chosen stays chosen while its dataset does. */
  #showColumns(dataset) {
    const select = byId("column");
    byId("column-field").hidden = dataset?.rows == null || this.#answers();
    byId("label-field").hidden = dataset?.rows == null || !this.#tellsClasses();
    if (select.dataset.of === dataset?.id) return;
    select.dataset.of = dataset?.id ?? "";
    const names = textColumns(dataset);
    const options = names.map((name) => h("option", { value: name, selected: name.toLowerCase() === "text" }, name));
    select.replaceChildren(...options);
    const labels = labelColumns(dataset);
    const usual = labels.find((name) => ["label", "category", "class"].includes(name.toLowerCase()));
    byId("label-column").replaceChildren(...labels.map((name) => h("option", { value: name, selected: name === usual }, name)));
  }

  #tellsClasses() {
    return byId("recipe").value === "classify";
  }

  #answers() {
    return ["instruct", "dpo"].includes(byId("recipe").value);
  }

  #learnt() {
    const dataset = byId("dataset").value;
    const column = byId("column-field").hidden ? "" : byId("column").value;
    if (this.#answers()) return { recipe: byId("recipe").value, dataset };
    if (!this.#tellsClasses()) return { recipe: "pretrain", dataset: column ? [{ dataset, column }] : dataset };
    const columns = column ? { text: column, label: byId("label-column").value } : {};
    return { recipe: "classify", dataset, columns };
  }

  #body() {
    const body = this.#learnt();
    const train = {};
    if (this.#kind() === "new") {
      body.model = { preset: byId("preset").value };
      body.tokenizer = byId("tokenizer").value;
    } else {
      body.model = byId("model").value;
      if (byId("last-block").checked) train.trainable = "last_block";
    }
    if (this.#tellsClasses()) train.trainable ??= "all";
    for (const [name, id] of Object.entries(TRAIN_NUMBERS)) {
      const value = numberIn(id);
      if (value !== undefined) train[name] = value;
    }
    const prompt = byId("sample-prompt").value;
    if (prompt && byId("recipe").value === "pretrain") train.sample_prompt = prompt;
    const name = byId("name").value.trim();
    if (name) body.name = name;
    const seed = numberIn("job-seed");
    if (seed !== undefined) body.seed = seed;
    const devices = numberIn("devices");
    if (devices !== undefined && devices !== 1) body.devices = devices;
    return { ...body, train };
  }

  /** Upload at once, so that a text that cannot be used is told at the field and not at the start of a job. */
  async upload(input) {
    const [file] = input.files;
    if (!file) return;
    input.removeAttribute("aria-invalid");
    byId("start").disabled = true;
    byId("file-note").textContent = `Uploading ${file.name} (${size(file.size)}) …`;
    const form = new FormData();
    form.append("file", file);
    try {
      const dataset = await call("/datasets", { method: "POST", form });
      this.datasets = await fillDatasets(byId("dataset"), { takesRows: true });
      const usable = dataset.rows === null || textColumns(dataset).length > 0 || isTaught(dataset);
      if (usable) byId("dataset").value = dataset.id;
      byId("file-note").textContent = `Uploaded: ${dataset.name}, ${contents(dataset)}. ${usable ? "It is chosen above." : "No column of it is text."}`;
    } catch (error) {
      input.setAttribute("aria-invalid", "true");
      byId("file-note").textContent = inWords(error);
    } finally {
      input.value = "";
      byId("start").disabled = false;
      this.#changed();
    }
  }

  /** The same as long as the same is asked for: a second click after a lost answer makes no second job. */
  #key(body) {
    const asked = JSON.stringify(body);
    if (asked !== this.asked) {
      this.asked = asked;
      this.key = Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(16)).join("-");
    }
    return this.key;
  }

  async start() {
    unmark(this.form);
    say(byId("job-error"), "");
    const button = byId("start");
    button.disabled = true;
    try {
      const body = this.#body();
      const job = await call("/jobs", { method: "POST", body, headers: { "idempotency-key": this.#key(body) } });
      location.assign(`/ui/jobs/${encodeURIComponent(job.id)}`);
    } catch (error) {
      button.disabled = false;
      mark(error.param, FIELDS);
      say(byId("job-error"), error instanceof NotANumber ? error.message : inWords(error));
    }
  }
}

export function startJobForm(tokenizer) {
  return new JobForm().fill(tokenizer);
}

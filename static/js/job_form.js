/** The form that starts a job: what is to be done, on which text or rows, with which models, and how. */

import { all, call, inWords } from "./api.js";
import { fillModels, fillTokenizers } from "./choices.js";
import { curl } from "./command.js";
import { hasRows, hasText, isText, labelColumns, offerDatasets, textColumns } from "./dataset_choices.js";
import { DatasetReport } from "./dataset_report.js";
import { DatasetUpload } from "./dataset_upload.js";
import { byId, h, say } from "./dom.js";
import { many } from "./format.js";
import { inklingCommand, pythonCommand } from "./job_commands.js";
import { JobEstimate } from "./job_estimate.js";
import { JobPreview } from "./job_preview.js";
import { MeasuredModels } from "./measured_models.js";
import { NotANumber } from "./numbers.js";
import { Settings } from "./settings.js";

const STEPS = { new: 300, continue: 60 };
const READS = { pretrain: hasText, word2vec: isText, perplexity: hasText }; // others read rows
const USUAL = { classify: "labelled", accuracy: "labelled", instruct: "instructions", answers: "instructions", judge: "instructions", dpo: "preferences" };
const USUAL_LABELS = ["label", "category", "class"];
const RECIPES = { text: "pretrain", labelled: "classify", instructions: "instruct", preferences: "dpo" }; // by what the data is
const ONLY_NEW = ["word2vec"];
const ONLY_CONTINUED = ["instruct", "dpo"];
const BY_ADDRESS = { recipe: "recipe", kind: "evaluate-kind", dataset: "dataset" }; // what a link may choose

class JobForm {
  constructor() {
    this.form = byId("job-form");
    this.datasets = [];
    this.isDatasetChosen = false; // by a person, who then keeps it as long as it can be used
    this.settings = new Settings(this.form);
    this.measured = new MeasuredModels();
    this.report = new DatasetReport(() => ({
      dataset: byId("dataset").value,
      tokenizer: byId("tokenizer").closest("[hidden]") ? "" : byId("tokenizer").value,
    }));
    const ask = [() => this.#body(), (error) => this.settings.refuse(error)];
    this.estimate = new JobEstimate(...ask);
    this.preview = new JobPreview(...ask);
    this.upload = new DatasetUpload((dataset) => this.#uploaded(dataset));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.start();
    });
    this.form.addEventListener("input", (event) => this.#typed(event.target));
  }

  /** Fill the selects, and choose what the address asks for. A list that does not come leaves the others usable. */
  async fill(tokenizer, asked) {
    const fields = byId("job-fields");
    fields.disabled = true; // what is chosen from lists that are not there would be chosen anew when they come
    const parts = await Promise.allSettled([
      this.#readDatasets(),
      fillTokenizers(byId("tokenizer"), byId("tokenizer-note"), tokenizer),
      fillModels(byId("model"), byId("model-missing"), undefined, asked.get("recipe") === "evaluate" ? null : asked.get("model")),
      this.measured.fill(asked.get("model")),
    ]);
    fields.disabled = false;
    const failed = parts.find((part) => part.status === "rejected");
    if (failed) say(byId("job-error"), `The form is not complete. ${inWords(failed.reason)}`);
    if (asked.get("model")) this.form.elements.kind.value = "continue";
    for (const [name, id] of Object.entries(BY_ADDRESS)) {
      const option = [...byId(id).options].find((one) => one.value === asked.get(name));
      if (option) byId(id).value = option.value;
    }
    this.isDatasetChosen ||= asked.has("dataset");
    this.#recipeChanged();
  }

  async #readDatasets() {
    this.datasets = await all("/datasets");
    this.#offerDatasets();
  }

  #offerDatasets() {
    const name = this.#names().at(-1);
    offerDatasets(byId("dataset"), this.datasets, this.#reads(), { kind: USUAL[name] ?? "text", keeps: this.isDatasetChosen, others: true });
  }

  /** What tells whether a dataset can be used for what is to be done. */
  #reads() {
    return READS[this.#names().at(-1)] ?? hasRows;
  }

  /** The data comes first: what cannot be done with it gives way to what is usual with it. */
  #suit() {
    const dataset = this.#dataset();
    const name = this.#names().at(-1);
    const usual = dataset && RECIPES[dataset.kind];
    const isOfOtherRows = usual !== name && Object.values(RECIPES).includes(name) && !(name in READS);
    if (!usual || (this.#reads()(dataset) && !isOfOtherRows)) return this.#changed();
    byId("recipe").value = usual;
    this.#recipeChanged();
  }

  #dataset() {
    return this.datasets.find((row) => row.id === byId("dataset").value);
  }

  /** The recipe, and of an evaluation its kind. */
  #names() {
    const recipe = byId("recipe").value;
    return recipe === "evaluate" ? [recipe, byId("evaluate-kind").value] : [recipe];
  }

  #kind() {
    return this.form.elements.kind.value;
  }

  #preset() {
    return byId("train-preset").closest("[hidden]") ? "" : byId("train-preset").value;
  }

  #typed(field) {
    say(byId("job-error"), ""); // it was about another form
    if (["recipe", "evaluate-kind"].includes(field.id)) this.#recipeChanged();
    else if (field.name === "kind" || field.id === "train-preset") this.#startChanged();
    else if (field.id === "dataset") {
      this.isDatasetChosen = true;
      this.#suit();
    } else {
      if (field.id === "max-steps") byId("epochs").value = "";
      if (field.id === "epochs") byId("max-steps").value = "";
      this.#changed();
    }
  }

  /** Who learns to answer is a model that is there; word vectors are learnt anew. */
  #recipeChanged() {
    const [recipe, kind] = this.#names();
    const only = ONLY_NEW.includes(recipe) ? "new" : ONLY_CONTINUED.includes(recipe) ? "continue" : null;
    for (const one of this.form.elements.kind) one.disabled = only !== null && one.value !== only;
    if (only) this.form.elements.kind.value = only;
    byId("start").textContent = recipe === "evaluate" ? "Start measuring" : "Start training";
    byId("dataset-label").textContent = recipe === "evaluate" ? "or text or rows that are here, to measure on" : "or text or rows that are here";
    if (kind) this.measured.offer(kind);
    this.#offerDatasets();
    this.#show();
    this.#startChanged();
  }

  /** From what a job starts says how long it is, if the settings of the book do not, and what learns. */
  #startChanged() {
    byId("epochs").value = "";
    this.#show();
    byId("max-steps").value = this.#preset() ? "" : STEPS[this.#kind()];
    if (!this.#preset()) byId("trainable").value = this.#kind() === "continue" ? "last_block" : "all";
    this.#changed();
  }

  #show() {
    const kind = this.#kind();
    const holds = [kind, this.form.elements.judge.value, ...this.measured.holds()];
    const preset = byId("train-preset").selectedOptions[0];
    if (kind === "new" && !this.#preset()) holds.push("own-shape");
    if (kind === "continue" && byId("trainable").value === "lora") holds.push("lora");
    if (this.#dataset()?.rows != null) holds.push("rows");
    this.settings.show(this.#names(), holds, JSON.parse((this.#preset() && preset.dataset.says) || "{}"));
  }

  #changed() {
    const dataset = this.#dataset();
    byId("dataset-note").textContent = dataset ? many(dataset.characters, "character") : "";
    this.#offerColumns(dataset);
    this.#show();
    this.report.refresh();
    this.estimate.forget();
    this.preview.forget();
    let told = {};
    try {
      const body = this.#body({ open: false });
      const { secrets } = this.settings;
      told = { job: curl("/jobs", body, secrets), python: pythonCommand(body, secrets), inkling: inklingCommand(body, secrets) };
    } catch (error) {
      if (!(error instanceof NotANumber)) throw error;
      told = { job: error.message, python: "", inkling: "" };
    }
    for (const [name, text] of Object.entries(told)) byId(`${name}-command`).textContent = text;
  }

  /** Of rows, the columns; the one chosen stays chosen while its dataset does. */
  #offerColumns(dataset) {
    if (this.form.dataset.columnsOf === dataset?.id) return;
    this.form.dataset.columnsOf = dataset?.id ?? "";
    const option = (name, selected = false) => h("option", { value: name, selected }, name);
    const [texts, labels] = [textColumns(dataset), labelColumns(dataset)];
    const usual = labels.find((name) => USUAL_LABELS.includes(name.toLowerCase()));
    byId("columns-text").replaceChildren(...texts.map((name) => option(name, name.toLowerCase() === "text")));
    byId("columns-label").replaceChildren(...labels.map((name) => option(name, name === usual)));
    const names = (dataset?.columns ?? []).map((column) => column.name);
    for (const select of this.form.querySelectorAll("[data-param^='columns.'][data-defaults]")) {
      const [unsaid] = select.options;
      select.replaceChildren(unsaid, ...names.map((name) => option(name)));
    }
  }

  /** What POST /jobs is asked, its secrets in it or named. */
  #body({ open = true } = {}) {
    const { train = {}, ...body } = this.settings.read({ open });
    if (body.recipe === "evaluate") return body;
    if (body.recipe === "pretrain" && body.columns) {
      body.dataset = [{ dataset: body.dataset, column: body.columns.text }];
      delete body.columns;
    }
    if (train.trainable === "lora") {
      delete train.trainable;
      train.lora ??= {};
    }
    if (body.recipe === "classify" && body.model?.preset) train.trainable = "all"; // of a new network all has to learn
    return { ...body, train };
  }

  /** Choose what came, and say whether anything can be done with it. */
  async #uploaded(dataset) {
    await this.#readDatasets();
    byId("dataset").value = dataset.id;
    this.isDatasetChosen = true;
    this.#suit();
    return this.#reads()(this.#dataset());
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
    this.settings.unmark();
    say(byId("job-error"), "");
    const button = byId("start");
    button.disabled = true;
    try {
      const body = this.#body();
      const job = await call("/jobs", { method: "POST", body, headers: { "idempotency-key": this.#key(body) } });
      location.assign(`/ui/jobs/${encodeURIComponent(job.id)}`);
    } catch (error) {
      button.disabled = false;
      say(byId("job-error"), error instanceof NotANumber ? error.message : inWords(error));
      this.settings.refuse(error);
    }
  }
}

export function startJobForm(tokenizer) {
  return new JobForm().fill(tokenizer, new URLSearchParams(location.search));
}

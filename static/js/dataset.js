/** The page of one dataset: its report, the tokens that are learnt from it, and its end. */

import { asked, remember } from "./address.js";
import { call, inWords } from "./api.js";
import { DatasetReport } from "./dataset_report.js";
import { byId, debounce, say } from "./dom.js";
import { JobPreview } from "./job_preview.js";
import { isMeant } from "./meant.js";
import { lookedAt, reportView } from "./report_view.js";

const { id, rows } = byId("dataset").dataset;
const QUERY = { tokenizer: "tokenizer", context_length: "context-length", validation: "validation" };
const USUAL = Object.fromEntries(Object.entries(QUERY).map(([name, field]) => [name, byId(field).value]));

function query() {
  return Object.fromEntries(Object.entries(QUERY).map(([name, field]) => [name, byId(field).value]));
}

/** Rows are looked at behind a line; a text has no such pages. */
function rowAddress(line) {
  return rows === "" ? null : `/ui/datasets/${id}?after=${line - 1}#rows`;
}

function startReport() {
  for (const [name, field] of Object.entries(QUERY)) {
    const value = asked().get(name);
    const known = byId(field).tagName !== "SELECT" || [...byId(field).options].some((option) => option.value === value);
    if (value && known) byId(field).value = value;
  }
  const report = new DatasetReport(
    () => ({ dataset: id, ...query() }),
    (found) => {
      byId("report-about").textContent = lookedAt(found);
      return reportView(found, rowAddress);
    },
  );
  const refresh = debounce(() => {
    const own = Object.fromEntries(Object.entries(query()).filter(([name, value]) => value !== USUAL[name]));
    remember({ after: asked().get("after"), ...own });
    byId("report-about").textContent = "";
    report.refresh();
  }, 300);
  for (const field of Object.values(QUERY)) byId(field).addEventListener("input", refresh);
  return report.refresh();
}

function startTaught(form) {
  const body = () => {
    const template = byId("template").value;
    const mask = document.getElementById("mask-prompt");
    const train = { ...(template ? { template } : {}), ...(mask && !mask.checked ? { mask_prompt: false } : {}) };
    return { recipe: form.dataset.recipe, dataset: id, model: byId("model").value, train };
  };
  const preview = new JobPreview(body, () => {});
  form.addEventListener("input", () => preview.forget());
}

function startDelete(form) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = event.submitter;
    if (!isMeant(button)) return;
    button.disabled = true;
    try {
      await call(`/datasets/${id}`, { method: "DELETE" });
      location.assign("/ui/datasets");
    } catch (error) {
      button.disabled = false;
      say(byId("dataset-error"), inWords(error));
    }
  });
}

const [taught, end] = ["taught-form", "delete-form"].map((name) => document.getElementById(name));
if (taught) startTaught(taught);
if (end) startDelete(end);
await startReport();

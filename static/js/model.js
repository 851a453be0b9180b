/** The page of one model: into memory, out of it and away without leaving it; its confusion matrix, live. */

import { asked, remember } from "./address.js";
import { call, inWords } from "./api.js";
import { Confusion, rowsOfEvaluation, rowsOfReport } from "./confusion.js";
import { byId, say } from "./dom.js";
import { percent } from "./format.js";
import { isMeant } from "./meant.js";

const { name } = byId("model").dataset;
const path = `/models/${encodeURIComponent(name)}`;

byId("model-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = event.submitter;
  const does = button.value;
  if (does === "delete" && !isMeant(button)) return;
  const label = button.textContent;
  button.disabled = true;
  button.textContent = { load: "Loading …", unload: "Taking it out …", delete: "Deleting …" }[does];
  try {
    await call(does === "delete" ? path : `${path}/${does}`, { method: does === "delete" ? "DELETE" : "POST" });
    if (does === "delete") location.assign("/ui/models");
    else location.reload();
  } catch (error) {
    Object.assign(button, { disabled: false, textContent: label });
    say(byId("model-error"), inWords(error));
  }
});

function note({ cell, threshold, accuracy }) {
  const evaluation = asked().get("evaluation");
  remember({ evaluation, threshold, ...(cell && { is: cell[0], told: cell[1] }) });
  byId("matrix-accuracy").textContent = `${percent(accuracy)} are told right`;
}

/** The matrix that the server has drawn, from here on drawn by script. */
async function startMatrix(job) {
  const report = job ? (await call(`${job}/report`)).models.find((one) => one.model === name) : await call(`${path}/report`);
  const rowsOf = job ? rowsOfEvaluation(job, name, report.classes.map((one) => one.name)) : rowsOfReport(report);
  const [is, told, threshold] = ["is", "told", "threshold"].map((field) => asked().get(field));
  const view = new Confusion(report, rowsOf, { table: byId("confusion"), scores: byId("class-scores"), onChange: note });
  if (view.slider) byId("threshold-form").replaceWith(view.slider);
  byId("cell").replaceChildren(view.rows);
  if (view.slider && threshold) view.move(Number(threshold));
  if (report.confusion[is]?.[told] !== undefined) await view.open(Number(is), Number(told));
}

const matrix = document.getElementById("matrix");
if (matrix) startMatrix(matrix.dataset.report).catch((error) => say(byId("model-error"), inWords(error)));

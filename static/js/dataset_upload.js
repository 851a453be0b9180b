/** Files that become datasets; in the form of jobs as soon as one is chosen, so that a bad one is told at its field. */

import { fromAPage, inWords, Refusal, refusalOf } from "./api.js";
import { byId } from "./dom.js";
import { count, many, percent, size } from "./format.js";

/**
 * Send `form`, {file, name?, kind?}, and hand out the dataset. `onProgress(share)` is told how much of it is sent, which
 * fetch cannot do. Throws a Refusal.
 */
export function uploadDataset(form, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "/datasets");
    for (const [name, value] of Object.entries(fromAPage())) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", (event) => event.total && onProgress(event.loaded / event.total));
    request.addEventListener("error", () => reject(new Refusal("The connection broke off; nothing is kept of the file. Is the server still running?", { code: "unreachable" })));
    request.addEventListener("load", async () => {
      const { status, statusText, responseText } = request;
      const retryAfter = request.getResponseHeader("retry-after");
      const answer = new Response(responseText, { status, statusText, headers: retryAfter ? { "retry-after": retryAfter } : {} });
      if (answer.ok) resolve(await answer.json());
      else reject(await refusalOf(answer));
    });
    request.send(form);
  });
}

export class DatasetUpload {
  /** `take` is given the dataset, and tells whether it was chosen. */
  constructor(take) {
    this.take = take;
    byId("file").addEventListener("change", (event) => this.send(event.target));
  }

  async send(input) {
    const [file] = input.files;
    if (!file) return;
    input.removeAttribute("aria-invalid");
    byId("start").disabled = true;
    const note = byId("file-note");
    note.textContent = `Uploading ${file.name} (${size(file.size)}) …`;
    const form = new FormData();
    form.append("file", file);
    try {
      const dataset = await uploadDataset(form, (share) => (note.textContent = `Uploading ${file.name} (${size(file.size)}): ${percent(share)}`));
      const what = (await this.take(dataset)) ? "It is chosen above." : "What is to be done cannot be done with it.";
      note.textContent = `Uploaded: ${dataset.name}, ${contents(dataset)}. ${what}`;
    } catch (error) {
      input.setAttribute("aria-invalid", "true");
      note.textContent = inWords(error);
    } finally {
      input.value = "";
      byId("start").disabled = false;
    }
  }
}

/** What was found in it, bad rows with the first of them. */
function contents(dataset) {
  if (dataset.rows === null) return `${count(dataset.characters)} characters`;
  const { bad_rows: bad, errors } = dataset.report;
  const first = errors.length ? ` (line ${errors[0].line}: ${errors[0].reason})` : "";
  return `${many(dataset.rows, "row")} of kind ${dataset.kind}${bad ? `; ${many(bad, "row")} left out${first}` : ""}`;
}

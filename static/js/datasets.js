/** The page of all datasets: the form sends a file and tells how far it is; then the dataset's own page follows. */

import { inWords } from "./api.js";
import { quoted } from "./command.js";
import { installCopyButtons } from "./copying.js";
import { uploadDataset } from "./dataset_upload.js";
import { byId, say } from "./dom.js";
import { percent, size } from "./format.js";
import { mark, unmark } from "./numbers.js";

const FIELDS = { file: "file", name: "name", kind: "kind" };
const form = byId("upload-form");

/** What was written and chosen; what is empty is left out. */
function asked() {
  return Object.entries({ name: byId("name").value.trim(), kind: byId("kind").value }).filter(([, value]) => value);
}

function tell() {
  const file = byId("file").files[0]?.name ?? "FILE";
  const fields = asked().map(([name, value]) => `--form-string ${quoted(`${name}=${value}`)}`);
  const path = `file=@"${file.replaceAll(/["\\]/g, "\\$&")}"`; // curl reads commas and semicolons in a bare name
  byId("upload-command").textContent = [`curl -s ${location.origin}/datasets`, `-F ${quoted(path)}`, ...fields].join(" \\\n  ");
}

async function send() {
  unmark(form);
  const [file] = byId("file").files;
  const most = Number(form.dataset.maxBytes);
  const tooLarge = file && file.size > most ? `The file has ${size(file.size)}; up to ${size(most)} are taken.` : "";
  say(byId("upload-error"), file ? tooLarge : "Choose a file.");
  if (!file || tooLarge) return mark("file", FIELDS);
  const body = new FormData();
  for (const [name, value] of asked()) body.append(name, value);
  body.append("file", file);
  const [button, bar] = [byId("upload"), byId("upload-progress")];
  button.disabled = true;
  bar.hidden = false;
  bar.removeAttribute("value");
  try {
    const dataset = await uploadDataset(body, (share) => {
      if (share < 1) bar.value = share;
      else bar.removeAttribute("value");
      byId("upload-status").textContent = share < 1 ? `Sent: ${percent(share)}` : "Reading it …";
    });
    location.assign(`/ui/datasets/${dataset.id}`);
  } catch (error) {
    byId("upload-status").textContent = "";
    mark(error.param ?? "file", FIELDS);
    say(byId("upload-error"), inWords(error));
  } finally {
    button.disabled = false;
    bar.hidden = true;
  }
}

form.noValidate = true; // what is missing is told in words of ours
form.addEventListener("input", tell);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
installCopyButtons();
tell();

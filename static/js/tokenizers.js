/** The page of tokenizers: the list, and the parts that follow it. */

import { all, call, inWords } from "./api.js";
import { installCopyButtons } from "./command.js";
import { byId, h, say } from "./dom.js";
import { count } from "./format.js";
import { MergePlayer } from "./merge_player.js";
import { TokenizerForm } from "./tokenizer_form.js";
import { TokenizerReport } from "./tokenizer_report.js";

const preferred = byId("tokenizers").dataset.tokenizer;
const player = new MergePlayer();
const report = new TokenizerReport(preferred);

function from(row) {
  if (!row.available) {
    const hint = h("span", { class: "note" }, row.hint ?? "its data is not on this machine");
    return h("details", {}, h("summary", {}, "needs its data first"), hint);
  }
  return row.source === "dataset" ? (row.dataset ?? "a deleted text") : row.source === "model" ? "its model" : "tiktoken";
}

function line(row) {
  const remove = h("button", { type: "button", class: "button button--plain button--small", "aria-label": `Delete ${row.name}` }, "Delete");
  remove.addEventListener("click", () => erase(row.name, remove));
  return h(
    "tr",
    {},
    h("td", {}, row.name),
    h("td", { class: "kind" }, row.kind === "bpe" ? "byte pairs" : `words, V${row.version}`),
    h("td", { class: "number" }, count(row.vocab_size)),
    h("td", {}, from(row)),
    h("td", {}, row.source === "dataset" ? remove : null),
  );
}

/** The first press asks, the second one deletes. */
async function erase(name, button) {
  if (button.textContent === "Delete") {
    button.textContent = "Really?";
    button.addEventListener("blur", () => (button.textContent = "Delete"), { once: true });
    return;
  }
  try {
    await call(`/tokenizers/${encodeURIComponent(name)}`, { method: "DELETE" });
    await refresh();
  } catch (error) {
    say(byId("list-error"), inWords(error));
  }
}

/** Fetch the list and hand it to the parts; `made` is a tokenizer that has just been trained. */
async function refresh(made = null) {
  let rows;
  try {
    rows = await all("/tokenizers", { key: "name" });
  } catch (error) {
    return say(byId("list-error"), `The list of tokenizers did not come. ${inWords(error)}`);
  }
  say(byId("list-error"), "");
  byId("list").replaceChildren(...rows.map(line));
  const select = byId("merge-tokenizer");
  const before = made?.kind === "bpe" ? made.name : select.value || preferred;
  const usable = rows.filter((row) => row.available && row.kind === "bpe");
  select.replaceChildren(...usable.map((row) => h("option", { value: row.name }, row.name)));
  if (usable.some((row) => row.name === before)) select.value = before;
  await Promise.all([player.refresh(), report.offer(rows, made?.name)]);
}

installCopyButtons();
await Promise.all([refresh(), new TokenizerForm(refresh).fill()]);

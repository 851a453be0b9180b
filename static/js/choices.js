/** Fills the selects: tokenizers, models, datasets. What cannot be chosen stays visible, with the reason. */

import { all, call } from "./api.js";
import { h } from "./dom.js";
import { compact, count, size } from "./format.js";

/** Put options into a select, keeping what was chosen where it is still there. */
function fill(select, options, preferred) {
  const before = select.value || preferred;
  select.replaceChildren(...options);
  const wanted = [...select.options].find((option) => option.value === before && !option.disabled);
  if (wanted) select.value = before;
}

function noteMissing(note, rows) {
  const missing = rows.filter((row) => !row.available);
  const list = h(
    "details",
    {},
    h("summary", {}, `${missing.length === 1 ? "One needs its" : `${missing.length} need their`} data first`),
    ...missing.map((one) => h("p", {}, h("strong", {}, one.name), `: ${one.hint ?? "its data is not on this machine"}`)),
  );
  note.replaceChildren(...(missing.length ? [list] : []));
}

/** Tokenizers; those whose data is not on the machine are disabled, and their hints stand in `note`. */
export async function fillTokenizers(select, note, preferred) {
  const rows = await all("/tokenizers", { key: "name" });
  const options = rows.map((row) => {
    const about = row.available ? (row.vocab_size ? `${count(row.vocab_size)} ids` : row.kind) : "not on this machine";
    return h("option", { value: row.name, disabled: !row.available }, `${row.name} (${about})`);
  });
  fill(select, options, preferred);
  noteMissing(note, rows);
  return rows;
}

/**
 * Models; word vectors are disabled, and those whose files are not on the machine, whose hints stand in `note`. A name that
 * is asked for and in no list (a checkpoint) gets an entry of its own.
 */
export async function fillModels(select, note, preferred, asked = null) {
  const rows = await all("/models", { key: "name" });
  const options = rows.map((row) => {
    const silent = { word2vec: "word vectors, which write nothing", classifier: "a classifier, which writes nothing" }[row.family];
    const writes = silent === undefined;
    const size = silent ?? compact(row.parameters);
    const about = row.available ? size : "not on this machine";
    return h("option", { value: row.name, disabled: !row.available || !writes }, `${row.name} (${about})`);
  });
  if (asked && !rows.some((row) => row.name === asked)) {
    options.unshift(h("option", { value: asked }, asked.includes("@") ? `${asked} (checkpoint)` : asked));
  }
  fill(select, options, asked ?? preferred);
  noteMissing(note, rows);
  return rows;
}

/** The models of the server that generates in place of this one; of them the names alone are known. */
export async function fillRemoteModels(select, preferred, asked = null) {
  const { data } = await call("/v1/models");
  const rows = data.map(({ id }) => ({ name: id }));
  const names = [...(asked && !rows.some((row) => row.name === asked) ? [asked] : []), ...rows.map((row) => row.name)];
  fill(select, names.map((name) => h("option", { value: name }, name)), asked ?? preferred);
  return rows;
}

/** Columns of a dataset that may be learnt from. */
export function textColumns(dataset) {
  return (dataset?.columns ?? []).filter((column) => ["text", "mixed"].includes(column.type)).map((column) => column.name);
}

/** Columns of a dataset that may be classes. */
export function labelColumns(dataset) {
  const types = ["text", "mixed", "number", "boolean"];
  return (dataset?.columns ?? []).filter((column) => types.includes(column.type)).map((column) => column.name);
}

/** Datasets; those of rows are disabled where a whole text is wanted. */
export async function fillDatasets(select, { takesRows = false } = {}) {
  const rows = await all("/datasets");
  const options = rows.map((row) => {
    const usable = row.kind === "text" || (takesRows && (textColumns(row).length > 0 || isTaught(row)));
    const about = row.kind !== "text" ? `, ${count(row.rows)} rows` : row.source === "builtin" ? ", built in" : "";
    return h("option", { value: row.id, disabled: !usable }, `${row.name} (${size(row.bytes)}${about})`);
  });
  fill(select, options);
  return rows;
}

/** Whether rows are dialogues or pairs of answers, whose columns need not be texts. */
export function isTaught(row) {
  return ["instructions", "chat", "preferences"].includes(row.kind);
}

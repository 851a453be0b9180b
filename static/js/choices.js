/** Fills the selects: tokenizers and models. What cannot be chosen stays visible, with the reason. */

import { all, call } from "./api.js";
import { h } from "./dom.js";
import { compact, count } from "./format.js";

/** Put options into a select, keeping what was chosen where it can still be; else what is preferred. */
export function fill(select, options, preferred) {
  const before = select.value;
  select.replaceChildren(...options);
  const wanted = [before, preferred].find((value) => value && options.some((option) => option.value === value && !option.disabled));
  if (wanted) select.value = wanted;
}

/** Hints of what is not on the machine, folded into `note`. */
export function noteMissing(note, rows) {
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

const SILENT = { word2vec: "word vectors, which write nothing", classifier: "a classifier, which writes nothing" };

/**
 * Models that write, or `classifiers`; others are disabled, as are those whose files are not on the machine. `none` is
 * what choosing nobody is called, where that can be chosen.
 */
export function offerModels(select, rows, { preferred, classifiers = false, none = null, more = [] } = {}) {
  const options = rows.map((row) => {
    const unfit = classifiers ? (row.family === "classifier" ? undefined : "no classifier") : SILENT[row.family];
    const about = row.available ? (unfit ?? compact(row.parameters)) : "not on this machine";
    return h("option", { value: row.name, disabled: !row.available || unfit !== undefined }, `${row.name} (${about})`);
  });
  fill(select, [...(none === null ? [] : [h("option", { value: "" }, none)]), ...more, ...options], preferred);
}

/**
 * Models that write, and in `note` the hints of those whose files are not on the machine. A name that is asked for and in
 * no list (a checkpoint) gets an entry of its own.
 */
export async function fillModels(select, note, preferred, asked = null) {
  const rows = await all("/models", { key: "name" });
  const isUnlisted = asked && !rows.some((row) => row.name === asked);
  const more = isUnlisted ? [h("option", { value: asked }, asked.includes("@") ? `${asked} (checkpoint)` : asked)] : [];
  offerModels(select, rows, { preferred: asked ?? preferred, more });
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

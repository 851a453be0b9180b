/** Fills the selects of datasets, and tells what a dataset is fit for. */

import { all } from "./api.js";
import { fill } from "./choices.js";
import { h } from "./dom.js";
import { count, size } from "./format.js";

/** Columns of a dataset that may be learnt from. */
export function textColumns(dataset) {
  return (dataset?.columns ?? []).filter((column) => ["text", "mixed"].includes(column.type)).map((column) => column.name);
}

/** Columns of a dataset that may be classes. */
export function labelColumns(dataset) {
  const types = ["text", "mixed", "number", "boolean"];
  return (dataset?.columns ?? []).filter((column) => types.includes(column.type)).map((column) => column.name);
}

/** Datasets that are whole texts. */
export async function fillDatasets(select) {
  const rows = await all("/datasets");
  offerDatasets(select, rows, isText);
  return rows;
}

/**
 * Datasets that are fit, and one of `kind` is chosen, if the one that is chosen is not kept. The `others` are disabled, but
 * where a person may choose them all the same.
 */
export function offerDatasets(select, rows, isFit, { kind = "text", keeps = true, others = false } = {}) {
  const options = rows.map((row) => {
    const about = row.kind !== "text" ? `, ${count(row.rows)} rows` : row.source === "builtin" ? ", built in" : "";
    return h("option", { value: row.id, disabled: !isFit(row) }, `${row.name} (${size(row.bytes)}${about})`);
  });
  const usual = rows.find((row) => row.kind === kind && isFit(row))?.id;
  fill(select, options, usual);
  if (!keeps && usual) select.value = usual;
  if (others) for (const option of options) option.disabled = false;
}

export function isText(dataset) {
  return dataset.kind === "text";
}

/** Whether there is text in it, be it as a column of rows. */
export function hasText(dataset) {
  return isText(dataset) || textColumns(dataset).length > 0;
}

export function hasRows(dataset) {
  return !isText(dataset);
}

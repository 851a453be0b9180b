/** The book's numbers beside the reader's: found in an answer, compared one by one, drawn with what is off marked. */

import { h } from "./dom.js";
import { visible } from "./glyphs.js";

/** What stands at `path` of an answer; `*` goes through a list, `label=ham` takes what has that label. Undefined where nothing does. */
export function at(value, path) {
  const [name, ...rest] = path === "" ? [] : path.split(".");
  if (name === undefined) return value;
  if (name === "*") return Array.isArray(value) ? value.map((each) => at(each, rest.join("."))) : undefined;
  if (Array.isArray(value) && name.includes("=")) {
    const [key, wanted] = name.split("=");
    return at(value.find((each) => each[key] === wanted), rest.join("."));
  }
  return value === null || value === undefined ? undefined : at(value[name], rest.join("."));
}

/** Compare an answer with one number of the book's, or a list of them: `{total, off, nodes}`, the last to be shown. */
export function compare(check, answer) {
  const found = at(answer, check.at);
  const tally = { total: 0, off: 0 };
  const nodes = figure(check, found, check.expected, tally);
  return { ...tally, nodes };
}

function figure(check, found, expected, tally) {
  if (!Array.isArray(found)) return one(check, found, expected, tally);
  const length = Math.max(found.length, Array.isArray(expected) ? expected.length : 0);
  const parts = Array.from({ length }, (_, i) => figure(check, found[i], Array.isArray(expected) ? expected[i] : undefined, tally));
  const isRows = found.some(Array.isArray) && !found.some((each) => Array.isArray(each) && each.some(Array.isArray));
  return h("span", { class: isRows ? "figure-rows" : found.some(Array.isArray) ? "" : "figure-row" }, ...parts);
}

function one(check, found, expected, tally) {
  tally.total += 1;
  const isSame = same(found, expected, check);
  tally.off += isSame ? 0 : 1;
  return h("span", { class: isSame ? "figure" : "figure figure--off" }, ...shown(found, check));
}

function same(found, expected, { absolute, relative }) {
  if (typeof found !== "number" || typeof expected !== "number") return found === expected;
  return Math.abs(found - expected) <= absolute + relative * Math.abs(expected);
}

/** A value as the book's are written on the page. */
function shown(value, { style, digits }) {
  if (value === undefined) return ["nothing"];
  if (value === null) return ["−∞"];
  if (typeof value !== "number") return String(value) === String(value).trim() ? [String(value)] : visible(String(value));
  if (style === "decimals") return [minus(value.toFixed(digits))];
  if (style === "exponent") return [minus(value.toExponential(digits).replace(/e([+-])(\d)$/, "e$10$2"))];
  return [style === "count" ? value.toLocaleString("en") : String(value)];
}

function minus(text) {
  return text.replaceAll("-", "−");
}

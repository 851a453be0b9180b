/** The fields of a lesson's request: read by their kinds, kept in the address bar. */

import { NotANumber } from "./numbers.js";

const OFFERED = ["dataset", "model"];
const OMITTED = ["integer", "number", ...OFFERED]; // where nothing stands in them
const READ = {
  integer: number,
  number,
  numbers: (text) => text.split(/[\s,]+/).filter(Boolean).map(number),
  rows: (text) => lines(text).map(READ.numbers),
  lines,
};

function lines(text) {
  return text.split("\n").filter((line) => line.trim());
}

function number(text) {
  const value = text.trim() === "" ? NaN : Number(text.replace("−", "-"));
  if (!Number.isFinite(value)) throw new NotANumber(`“${text.trim().slice(0, 40)}” is not a number.`);
  return value;
}

export class LessonFields {
  constructor(form, step) {
    this.all = [...form.elements].filter((field) => field.dataset.kind);
    this.step = step;
    for (const field of this.all) this.#fromAddress(field);
  }

  /** Whether any field has another value than at first. */
  get isChanged() {
    return this.all.some((field) => isChanged(field));
  }

  /** Whether the book's values stand in all fields; which of the machine's models or datasets is chosen, it does not know. */
  get isBooks() {
    return this.all.every((field) => OFFERED.includes(field.dataset.kind) || !isChanged(field));
  }

  /** Fill `{path, body}` with what the fields say. Throws NotANumber, with the field marked. */
  request(path, fixed) {
    const body = structuredClone(fixed);
    let address = path;
    for (const field of this.all) {
      field.removeAttribute("aria-invalid");
      const value = this.#value(field);
      const place = `{${field.name}}`;
      if (address.includes(place)) address = address.replace(place, encodeURIComponent(value));
      else if (value !== undefined) put(body, field.name, value);
    }
    return { path: address, body };
  }

  #value(field) {
    const text = field.value;
    if (text === "" && OMITTED.includes(field.dataset.kind) && !field.validity.badInput) return undefined;
    try {
      return READ[field.dataset.kind]?.(text) ?? text;
    } catch (error) {
      field.setAttribute("aria-invalid", "true");
      throw new NotANumber(`${field.labels[0].textContent}: ${error.message}`);
    }
  }

  /** Mark the field that a refusal is about: `vectors.0` is of `vectors`. */
  mark(param) {
    const field = this.all.find(({ name }) => param === name || param?.startsWith(`${name}.`));
    field?.setAttribute("aria-invalid", "true");
  }

  /** Let the address bar hold what is not as it was. */
  toAddress() {
    const address = new URL(location.href);
    for (const field of this.all) {
      const name = `${this.step}.${field.name}`;
      if (isChanged(field)) address.searchParams.set(name, field.value);
      else address.searchParams.delete(name);
    }
    history.replaceState(history.state, "", address);
  }

  #fromAddress(field) {
    const asked = new URLSearchParams(location.search).get(`${this.step}.${field.name}`);
    if (asked === null) return;
    if (field.tagName !== "SELECT" || [...field.options].some((option) => option.value === asked)) field.value = asked;
  }
}

function isChanged(field) {
  if (field.tagName !== "SELECT") return field.value !== field.defaultValue;
  return ![...field.options].find((option) => option.defaultSelected || option.value === field.value)?.defaultSelected
    || field.selectedOptions[0]?.defaultSelected === false;
}

function put(body, name, value) {
  const way = name.split(".");
  const last = way.pop();
  let place = body;
  for (const each of way) place = place[each] ??= {};
  place[last] = value;
}

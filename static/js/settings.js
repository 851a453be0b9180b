/**
 * The fields of a form that carry the request's own names, in `data-param`: shown to whom they are for, with the defaults
 * that they have there, read into a request, marked where the server refuses them.
 *
 * `data-of` of an element names recipes and kinds, `data-when` what else must hold; what is hidden is not asked for.
 */

import { NotANumber } from "./numbers.js";
import { accept, refuse } from "./refusal.js";

export class Settings {
  constructor(form) {
    this.form = form;
    this.fields = [...form.querySelectorAll("[data-param]")];
    form.addEventListener("input", (event) => accept(event.target));
    for (const box of form.querySelectorAll("[data-none]")) {
      box.addEventListener("change", () => {
        this.#byId(box.dataset.none).disabled = box.checked;
      });
    }
  }

  /**
   * Show what is for one of `names`, the last of them the one whose defaults count, where `holds` has what it needs;
   * `says` stands over the defaults.
   */
  show(names, holds, says = {}) {
    for (const part of this.form.querySelectorAll("[data-of], [data-when]")) {
      const { of, when } = part.dataset;
      part.hidden = (of !== undefined && !of.split(" ").some((name) => names.includes(name))) || (when !== undefined && !holds.includes(when));
      if (part.tagName === "OPTION") part.disabled = part.hidden;
    }
    for (const group of this.form.querySelectorAll(".group")) {
      group.hidden = (group.dataset.when && !holds.includes(group.dataset.when)) || !group.querySelector(".field:not([hidden])");
    }
    for (const field of this.fields) if (field.dataset.defaults) fit(field, names.at(-1), says);
  }

  /** What is asked for beside the defaults; a secret as the shell's variable of its name, where it is not `open`. */
  read({ open = true } = {}) {
    const body = {};
    for (const field of this.fields) {
      if (field.closest("[hidden]")) continue;
      const { param, each, item, secret } = field.dataset;
      const value = valueOf(field);
      if (value === undefined) continue;
      put(body, param.split("."), secret && !open ? `$${secret}` : value, each !== undefined || item !== undefined);
    }
    for (const box of this.form.querySelectorAll("[data-none]:checked")) {
      const field = this.#byId(box.dataset.none);
      if (!field.closest("[hidden]")) put(body, field.dataset.param.split("."), null);
    }
    return body;
  }

  /** Names of the variables by which secrets stand in a command. */
  get secrets() {
    return this.fields.map((field) => field.dataset.secret).filter(Boolean);
  }

  /** Say at the field what is wrong with it, and go there. A refusal of something else is told elsewhere. */
  refuse(error) {
    const field = error instanceof NotANumber ? error.field : this.#named(error.param);
    if (!field) return;
    refuse(field, error.message, error.param);
    field.focus();
  }

  /** Take the marks of earlier refusals away. */
  unmark() {
    for (const field of this.form.querySelectorAll("[aria-invalid]")) accept(field);
  }

  #byId(id) {
    return this.fields.find((field) => field.id === id);
  }

  /** The field that a refusal is about: of that very name, one of a list, or what is nearest to it. */
  #named(param) {
    const shown = this.fields.filter((field) => !field.closest("[hidden]"));
    for (let parts = param?.split(".") ?? []; parts.length; parts = parts.slice(0, -1)) {
      const name = parts.join(".");
      const [list, place] = [parts.slice(0, -1).join("."), Number(parts.at(-1))];
      const found =
        shown.find((field) => field.dataset.param === name) ??
        shown.filter((field) => field.dataset.param === list && field.value)[place] ??
        shown.find((field) => field.dataset.param.startsWith(`${name}.`));
      if (found) return found;
    }
    return null;
  }
}

/** Give a field the default that it has for `name`; what a person chose stays. */
function fit(field, name, says) {
  const { param, item, claim, empty } = field.dataset;
  const defaults = JSON.parse(field.dataset.defaults);
  if (!(name in defaults)) return;
  const value = says[param] === undefined ? defaults[name] : says[param];
  if (item !== undefined) return;
  if (field.type === "checkbox") {
    if (field.checked === field.defaultChecked) field.checked = value;
    field.defaultChecked = value;
  } else if (field.tagName === "SELECT") {
    const wanted = value === null ? "" : String(value);
    const isKept = field.dataset.default !== undefined && field.value !== field.dataset.default && !field.selectedOptions[0]?.disabled;
    if (!isKept) field.value = wanted;
    field.dataset.default = wanted;
    if (claim === undefined && field.selectedIndex < 0) field.selectedIndex = 0;
  } else {
    field.placeholder = value === null || value === "" ? (empty ?? "") : String(value);
  }
}

/** What a field asks for; undefined where it is what the server would take anyway. Throws NotANumber. */
function valueOf(field) {
  const { item, claim, each } = field.dataset;
  if (item !== undefined) return field.checked ? item : undefined;
  if (field.type === "checkbox") return field.checked === field.defaultChecked ? undefined : field.checked;
  if (field.type === "number") return numberOf(field);
  const value = field.type === "text" ? field.value.trim() : field.value;
  if (value === "" && (field.tagName !== "SELECT" || each !== undefined || field.dataset.defaults)) return undefined;
  if (field.dataset.default === value) return undefined;
  return claim === undefined ? value : value === "true";
}

function numberOf(field) {
  if (!field.validity.badInput) return field.value === "" || field.disabled ? undefined : field.valueAsNumber;
  const error = new NotANumber(`${field.labels[0]?.textContent ?? field.id} is not a number.`);
  error.field = field;
  throw error;
}

function put(body, [name, ...rest], value, isList = false) {
  if (rest.length) put((body[name] ??= {}), rest, value, isList);
  else if (isList) (body[name] ??= []).push(value);
  else body[name] = value;
}

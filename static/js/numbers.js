/** Number fields: read as numbers or left out, tied to their sliders, marked where the server refuses them. */

import { byId } from "./dom.js";

export class NotANumber extends Error {}

/** The number in the field, or undefined where it is empty. Throws NotANumber for anything else. */
export function numberIn(id) {
  const input = byId(id);
  if (input.validity.badInput) {
    input.setAttribute("aria-invalid", "true");
    throw new NotANumber(`${labelOf(input)} is not a number.`);
  }
  return input.value === "" ? undefined : input.valueAsNumber;
}

function labelOf(input) {
  return input.labels[0]?.textContent ?? input.id;
}

/** Take the marks of an earlier refusal away. */
export function unmark(form) {
  for (const field of form.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
}

/** Mark the field that a refusal is about; `param` is the request's own name for it, as `train.batch_size`. */
export function mark(param, fields) {
  const id = fields[param];
  if (!id) return;
  byId(id).setAttribute("aria-invalid", "true");
  byId(id).closest("details")?.setAttribute("open", "");
}

/** Let sliders follow their number field, and the other way round; at `data-off` a slider means an empty field. */
export function tieSliders() {
  for (const range of document.querySelectorAll("[data-twin]")) {
    const number = byId(range.dataset.twin);
    const { off } = range.dataset;
    const follow = () => {
      range.value = number.value === "" && off !== undefined ? off : number.value;
    };
    range.addEventListener("input", () => {
      number.value = off !== undefined && Number(range.value) === Number(off) ? "" : range.value;
      number.dispatchEvent(new Event("input", { bubbles: true }));
    });
    number.addEventListener("input", follow);
    follow();
  }
}

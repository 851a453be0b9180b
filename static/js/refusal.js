/** What a server refuses is said at its field, and taken away again. */

import { sentence } from "./api.js";
import { h } from "./dom.js";

/** Say at `field` what is wrong with it; `message` may begin with the request's own name for it, `param`. */
export function refuse(field, message, param = null) {
  accept(field);
  const id = `${field.id}-refused`;
  const told = param && message.startsWith(`${param}: `) ? message.slice(param.length + 2) : message;
  field.setAttribute("aria-invalid", "true");
  field.setAttribute("aria-errormessage", id);
  field.closest("details")?.setAttribute("open", "");
  field.closest(".field").append(h("span", { class: "refused", id }, sentence(told)));
}

export function accept(field) {
  field.removeAttribute("aria-invalid");
  field.removeAttribute("aria-errormessage");
  field.closest(".field")?.querySelector(".refused")?.remove();
}

/** The numbers of one head over one text, as POST /inspect gives them in base64, by token. */

import { floats } from "./tensor.js";

export const WANTED = ["queries", "keys", "values", "products", "scores", "attention", "context"];

export class AttentionHead {
  constructor(answer) {
    this.tokens = answer.tokens;
    this.count = answer.count;
    this.size = answer.queries.shape[3]; // numbers of a query
    this.layer = answer.layers[0];
    this.head = answer.heads[0];
    this.numbers = Object.fromEntries(WANTED.map((name) => [name, floats(answer[name])]));
  }

  /** `queries`, `keys`, `values` or `context` of a token, one of its numbers. */
  part(name, token, place) {
    return this.numbers[name][token * this.size + place];
  }

  /** `products`, `scores`, `masked` or `attention` between the token that looks and the one that is looked at. */
  between(name, row, column) {
    if (name === "masked") return column > row ? -Infinity : this.between("scores", row, column);
    return this.numbers[name][row * this.count + column];
  }

  weight(row, column) {
    return this.between("attention", row, column);
  }

  /** The largest size of any number of that name; what is infinite does not count. */
  most(name) {
    const source = name === "masked" ? "scores" : name;
    return this.numbers[source].reduce((most, value) => (Number.isFinite(value) ? Math.max(most, Math.abs(value)) : most), 1e-9);
  }
}

/** Which models an evaluation measures, side by side, and which of them marks: the selects of the job form. */

import { all } from "./api.js";
import { noteMissing, offerModels } from "./choices.js";
import { byId, h } from "./dom.js";

const OF_CLASSIFIERS = ["accuracy"];

export class MeasuredModels {
  constructor() {
    this.rows = [];
    this.against = [...document.querySelectorAll("[data-param='evaluate.against']")];
  }

  /** Look up the models; one that is `asked` for and in no list (a checkpoint) can be chosen all the same. */
  async fill(asked) {
    this.rows = await all("/models", { key: "name" });
    this.asked = asked && !this.rows.some((row) => row.name === asked) ? asked : null;
    noteMissing(byId("measured-missing"), this.rows);
    this.offer(null, asked);
  }

  /** Offer those that this kind can measure. */
  offer(kind, preferred = null) {
    const classifiers = OF_CLASSIFIERS.includes(kind);
    const more = () => (this.asked ? [h("option", { value: this.asked }, this.asked)] : []);
    offerModels(byId("measured"), this.rows, { classifiers, preferred, more: more() });
    for (const select of this.against) offerModels(select, this.rows, { classifiers, none: "none", more: more() });
    offerModels(byId("judge-model"), this.rows);
  }

  /** Which places beside the first are open: the next one after those that are taken; a pair has one. */
  holds() {
    const isPair = byId("evaluate-pairwise").checked && !byId("evaluate-pairwise").closest("[hidden]");
    const open = isPair ? 1 : 1 + this.against.findLastIndex((select) => select.value !== "") + 1;
    return this.against.slice(0, open).map((_, place) => `against-${place}`);
  }
}

/** A step that asks: from the answer to a picture, a comparison and a tick. */

import { call } from "./api.js";
import { h } from "./dom.js";
import { many } from "./format.js";
import { at, compare } from "./lesson_checks.js";
import { LessonForm } from "./lesson_form.js";
import { views } from "./lesson_views.js";

export class LessonAsk extends LessonForm {
  /** `onDone()` is called when an answer came. */
  constructor(form, step, onDone) {
    super(form, step, JSON.parse(form.getAttribute("data-ask")));
    this.onDone = onDone;
  }

  submit() {
    return this.working(
      async () => {
        const { path, body } = this.request();
        const { isBooks } = this.fields;
        const { method } = this.plan;
        this.#show(await call(path, method === "GET" ? {} : { method, body }), isBooks);
        this.onDone();
      },
      () => this.#clear(),
    );
  }

  /** Leave nothing of the answer before under a refusal. */
  #clear() {
    this.part("view").hidden = this.part("verdict").hidden = true;
    for (const cell of this.form.querySelectorAll("[data-yours]")) cell.replaceChildren(h("span", { class: "empty" }, "no answer"));
    for (const mark of this.form.querySelectorAll("[data-mark]")) mark.textContent = "";
  }

  #show(answer, isBooks) {
    const draw = views[this.plan.view];
    this.part("view").hidden = !draw;
    if (draw) this.part("view").replaceChildren(...draw(answer));
    const { only, checks } = this.plan;
    const applies = isBooks && (!only || at(answer, only.at) === only.value);
    const rows = [...this.form.querySelectorAll("[data-yours]")];
    const marks = this.form.querySelectorAll("[data-mark]");
    const found = checks.map((check) => compare(check, answer));
    found.forEach(({ nodes, total, off }, i) => {
      rows[i].replaceChildren(nodes);
      rows[i].classList.toggle("is-other", !applies);
      marks[i].textContent = !applies ? "" : off ? `✗ ${off} of ${total} differ` : "✓ same";
      marks[i].className = `mark-of${off ? " mark-of--off" : ""}`;
    });
    if (checks.length) this.#judge(found, applies, isBooks ? only?.otherwise : null);
  }

  #judge(found, applies, otherwise) {
    const total = found.reduce((sum, one) => sum + one.total, 0);
    const off = found.reduce((sum, one) => sum + one.off, 0);
    const verdict = this.part("verdict");
    verdict.hidden = false;
    verdict.className = `verdict${applies ? (off ? " verdict--off" : " verdict--same") : ""}`;
    if (!applies) verdict.textContent = otherwise ?? "Other values than the book's: its numbers say nothing about these.";
    else if (off) verdict.textContent = `✗ Differs from the book in ${off} of ${many(total, "value")}. Another version of torch, or another kind of processor, may draw or round otherwise.`;
    else verdict.textContent = `✓ The same as the book: ${total} of ${many(total, "value")}.`;
  }
}

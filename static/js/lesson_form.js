/** A step's form: its fields, kept in the address and in the command below them, and what is told while the service is at it. */

import { inWords } from "./api.js";
import { curl } from "./command.js";
import { debounce, say } from "./dom.js";
import { LessonFields } from "./lesson_fields.js";
import { NotANumber } from "./numbers.js";

const SLOW_MS = 400;

export class LessonForm {
  /** `plan` is what the server tells of the step. (A form with a field called `dataset` has no `form.dataset`.) */
  constructor(form, step, plan) {
    this.form = form;
    this.plan = plan;
    this.fields = new LessonFields(form, step);
    this.part = (name) => form.querySelector(`[data-${name}]`);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit(event.submitter);
    });
    form.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
    });
    form.addEventListener("reset", () => setTimeout(() => this.changed())); // once the fields are as they were
    form.addEventListener("input", debounce(() => this.changed(), 150));
    this.changed();
  }

  /** `{path, body}` of what is asked. Throws NotANumber. */
  request() {
    return this.fields.request(this.plan.path, this.plan.body);
  }

  changed() {
    this.form.querySelector("[type=reset]").hidden = !this.fields.isChanged;
    this.fields.toAddress();
    const command = this.form.querySelector(".command pre");
    try {
      const { path, body } = this.request();
      command.textContent = this.plan.method === "GET" ? `curl -s '${location.origin}${path}'` : curl(path, body);
    } catch (error) {
      if (!(error instanceof NotANumber)) throw error;
      command.textContent = error.message;
    }
  }

  /** Do `work`, and say so where it takes long; what goes wrong is told, and `failed()` called. */
  async working(work, failed = () => {}) {
    const buttons = [...this.form.querySelectorAll("[type=submit]")];
    const pressed = buttons.find((button) => button === document.activeElement);
    say(this.part("error"), "");
    for (const button of buttons) button.disabled = true;
    const slow = setTimeout(() => {
      this.part("wait").hidden = false;
      this.part("status").textContent = "At it …";
    }, SLOW_MS);
    try {
      await work();
    } catch (error) {
      failed();
      this.fields.mark(error.param);
      say(this.part("error"), error instanceof NotANumber ? error.message : inWords(error));
    } finally {
      clearTimeout(slow);
      this.part("wait").hidden = true;
      this.part("status").textContent = "";
      for (const button of buttons) button.disabled = false;
      if (document.activeElement === document.body) pressed?.focus({ preventScroll: true });
    }
  }
}

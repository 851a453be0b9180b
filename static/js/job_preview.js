/** Rows as tokens, and which of them the job in the form would learn; asked for by a button. */

import { call, inWords } from "./api.js";
import { byId, h, say } from "./dom.js";
import { many } from "./format.js";
import { NotANumber } from "./numbers.js";

const SHOWN = "limit=3&tokens=600";

export class JobPreview {
  /** `body` gives what POST /jobs would be sent; `refused` takes an error of it. */
  constructor(body, refused) {
    this.body = body;
    this.refused = refused;
    this.button = byId("preview");
    this.button.addEventListener("click", () => this.ask());
  }

  /** What is shown was about another form. */
  forget() {
    byId("preview-rows").replaceChildren();
  }

  async ask() {
    this.button.disabled = true;
    say(byId("job-error"), "");
    try {
      const answer = await call(`/jobs/preview?${SHOWN}`, { method: "POST", body: this.body() });
      const note = `By the template ${answer.template}; marked is what is learnt.`;
      byId("preview-rows").replaceChildren(h("p", { class: "note" }, note), ...answer.examples.map(example));
    } catch (error) {
      byId("preview-rows").replaceChildren();
      say(byId("job-error"), error instanceof NotANumber ? error.message : inWords(error));
      this.refused(error);
    } finally {
      this.button.disabled = false;
    }
  }
}

function example({ line, answer, tokens, total, learnt }) {
  const cut = tokens.length < total ? " …" : "";
  const title = `Line ${line}${answer ? `, ${answer}` : ""}: ${learnt} of ${many(total, "token")} learnt`;
  const parts = tokens.map((token) => h(token.learnt ? "mark" : "span", {}, token.text));
  return h("figure", { class: "taught" }, h("figcaption", { class: "note" }, title), h("p", {}, ...parts, cut));
}

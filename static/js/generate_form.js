/** The fields of the form that generates: to a request, from a kept text, and into the address bar. */

import { byId } from "./dom.js";
import { Conversation } from "./conversation.js";
import { size } from "./format.js";
import { mark, NotANumber, numberIn, unmark } from "./numbers.js";

const FIELDS = {
  temperature: "temperature",
  top_k: "top-k",
  top_p: "top-p",
  min_p: "min-p",
  repetition_penalty: "repetition-penalty",
  max_new_tokens: "max-new-tokens",
  n: "n",
  top_logprobs: "top-logprobs",
  seed: "seed",
};
const OF_A_CALL = ["n", "top_logprobs"]; // no part of how a text was drawn
const MOST_ADDRESS = 4000; // characters; browsers and servers cut longer ones
const WRITTEN = { "\n": "\\n", "\t": "\\t", "\\": "\\\\" };
const MEANT = { "\\n": "\n", "\\t": "\t", "\\\\": "\\" };

export class GenerateForm {
  constructor(form, maxBytes) {
    this.form = form;
    this.maxBytes = maxBytes;
    this.conversation = new Conversation(() => form.dispatchEvent(new Event("input")));
    form.addEventListener("input", () => this.#label());
    this.#label();
  }

  get isChat() {
    return this.form.elements.mode.value === "chat";
  }

  get text() {
    return byId("prompt").value;
  }

  /** What is asked: `{prompt}` or `{messages}`. Throws NotANumber, which has words, where it is more than a call may bring. */
  asked() {
    const asked = this.isChat ? { messages: [...this.#system(), ...this.conversation.turns, { role: "user", content: this.text }] } : { prompt: this.text };
    const bytes = new TextEncoder().encode(asked.prompt ?? asked.messages.map(({ content }) => content).join("")).length;
    if (bytes <= this.maxBytes) return asked;
    byId("prompt").setAttribute("aria-invalid", "true");
    throw new NotANumber(`The text has ${size(bytes)}; up to ${size(this.maxBytes)} can be sent at a time. Shorten it, nothing was sent.`);
  }

  /** Whether the form asks for just that; what is too long asks for nothing. */
  asks(asked) {
    try {
      return JSON.stringify(this.asked()) === JSON.stringify(asked);
    } catch (error) {
      if (error instanceof NotANumber) return false;
      throw error;
    }
  }

  #system() {
    const content = byId("system").value;
    return content ? [{ role: "system", content }] : [];
  }

  /** How tokens are drawn, as the request has it; what is empty is left out. Throws NotANumber. */
  sampling() {
    const settings = {};
    for (const [name, id] of Object.entries(FIELDS)) {
      const value = numberIn(id);
      if (value !== undefined) settings[name] = value;
    }
    if (settings.seed !== undefined && !Number.isSafeInteger(settings.seed)) {
      byId("seed").setAttribute("aria-invalid", "true");
      throw new NotANumber("Seed: a whole number up to 9,007,199,254,740,991; a browser knows none beyond exactly.");
    }
    const stop = byId("stops").value.split("\n").filter(Boolean).map((line) => line.replace(/\\[nt\\]/g, (pair) => MEANT[pair]));
    return stop.length ? { ...settings, stop } : settings;
  }

  /** Fill in what a text was asked, and how it was drawn. */
  fill({ asked: { prompt, messages }, settings }) {
    this.form.elements.mode.value = messages ? "chat" : "prompt";
    const turns = [...(messages ?? [])];
    byId("prompt").value = prompt ?? turns.pop().content;
    byId("system").value = turns[0]?.role === "system" ? turns.shift().content : "";
    this.conversation.show(turns);
    for (const [name, id] of Object.entries(FIELDS)) if (!OF_A_CALL.includes(name)) this.#put(id, settings[name] ?? "");
    byId("stops").value = (settings.stop ?? []).map((text) => text.replace(/[\n\t\\]/g, (one) => WRITTEN[one])).join("\n");
    this.#label();
    this.settle();
  }

  /** Take what an address says over what a kept text had. */
  overrule(asked) {
    for (const field of this.form.querySelectorAll("[data-first]")) if (asked.has(field.name)) this.#put(field.id, asked.get(field.name));
  }

  /** A setting as if a person had written it. */
  set(id, value) {
    this.#put(id, value);
    this.form.dispatchEvent(new Event("input"));
  }

  #put(id, value) {
    byId(id).value = value;
    byId(id).dispatchEvent(new Event("input")); // for its slider
  }

  /** Make the message and its answer turns of the conversation, with room for the next one. */
  reply(answer) {
    this.conversation.add({ role: "user", content: this.text }, { role: "assistant", content: answer });
    this.set("prompt", "");
    byId("prompt").focus();
  }

  /** What stands there now is of the kept text on the page, and need not stand in its address. */
  settle() {
    for (const field of this.form.querySelectorAll("[data-first]")) field.dataset.settled = field.value;
  }

  /** The address: a kept text's with what differs from it, or with all that is not as at first; and `more`. */
  address({ branch, more }) {
    const query = new URLSearchParams(branch ? { branch } : this.isChat ? { mode: "chat" } : {});
    for (const field of this.form.querySelectorAll("[data-first]")) {
      const { settled, first } = field.dataset;
      if (field.value !== (branch ? settled : first) && !field.closest("[hidden]")) query.set(field.name, field.value);
    }
    for (const [name, value] of Object.entries(more)) query.set(name, value);
    if (!branch && query.toString().length + encodeURIComponent(this.text).length <= MOST_ADDRESS) query.set("prompt", this.text);
    return `${location.pathname}?${query}`;
  }

  refuse(error) {
    mark(error.param === "prompt" || error.param === "messages" ? "prompt" : error.param, { ...FIELDS, model: "model", prompt: "prompt", stop: "stops" });
  }

  unmark() {
    unmark(this.form);
  }

  #label() {
    byId("prompt-label").textContent = this.isChat ? "Message" : "Prompt";
    byId("system-field").hidden = !this.isChat;
    this.conversation.list.hidden = !this.isChat || !this.conversation.turns.length;
  }
}

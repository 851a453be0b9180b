/** The token visualizer: asks for the tokens of the text while it is typed, and shows the newest answer only. */

import { call, inWords } from "./api.js";
import { fillTokenizers } from "./choices.js";
import { copy, curl } from "./command.js";
import { byId, debounce, h, say } from "./dom.js";
import { count, many, size } from "./format.js";
import { Linked } from "./linked.js";
import { chips, groupsOf, idItems, readout } from "./token_view.js";

const PAUSE_MS = 120;
const AT_ONCE = 1500;
const FIRST_TEXT = "Hello, world! Inkling turns text into tokens, and tokens back into text.";

class TokenPanel {
  constructor({ tokenizer, maxBytes }) {
    this.maxBytes = Number(maxBytes);
    this.defaultTokenizer = tokenizer;
    this.text = byId("text");
    this.select = byId("tokenizer");
    this.list = byId("token-list");
    this.ids = byId("id-list");
    this.readout = byId("token-readout");
    this.asking = null;
    this.clear();
    this.linked = new Linked([this.list, this.ids], (i) => this.showToken(i));
    this.#listen();
  }

  async start() {
    this.text.value ||= FIRST_TEXT;
    try {
      await fillTokenizers(this.select, byId("tokenizer-note"), this.defaultTokenizer);
    } catch (error) {
      say(byId("token-error"), `The list of tokenizers did not come. ${inWords(error)}`);
      return;
    }
    await this.refresh();
  }

  #listen() {
    const soon = debounce(() => this.refresh(), PAUSE_MS);
    this.text.addEventListener("input", soon);
    this.select.addEventListener("change", () => this.refresh());
    byId("parse-specials").addEventListener("change", () => this.refresh());
    byId("show-spaces").addEventListener("change", (event) => {
      this.list.classList.toggle("spaces-hidden", !event.target.checked);
    });
    byId("token-more-button").addEventListener("click", () => this.draw(this.shown + AT_ONCE));
    byId("copy-ids").addEventListener("click", (event) => {
      copy(JSON.stringify(this.tokens.map((token) => token.id)), event.currentTarget);
    });
    for (const button of document.querySelectorAll("[data-sample]")) {
      button.addEventListener("click", () => {
        this.text.value = button.dataset.sample;
        this.refresh();
      });
    }
  }

  /** Ask for the tokens of what stands there now. A newer call makes an older one's answer void. */
  async refresh() {
    this.asking?.abort();
    const asking = new AbortController();
    this.asking = asking;
    const body = { text: this.text.value, tokenizer: this.select.value };
    if (byId("parse-specials").checked) body.specials = "parse";
    byId("token-command").textContent = curl("/tokenize", body);
    const bytes = new TextEncoder().encode(body.text).length;
    if (bytes > this.maxBytes) {
      return this.fail(`The text has ${size(bytes)}; up to ${size(this.maxBytes)} can be shown at a time.`);
    }
    const slow = setTimeout(() => this.list.classList.add("is-stale"), 250);
    try {
      const answer = await call("/tokenize", { method: "POST", body, signal: asking.signal });
      if (this.asking === asking) this.show(answer, body.text, bytes);
    } catch (error) {
      if (this.asking === asking && error.name !== "AbortError") this.fail(inWords(error));
    } finally {
      clearTimeout(slow);
      if (this.asking === asking) this.list.classList.remove("is-stale");
    }
  }

  clear() {
    this.tokens = [];
    this.groups = [];
    this.characters = [];
    this.groupOf = [];
    this.shown = 0;
  }

  fail(message) {
    this.clear();
    this.count(null, null, null);
    this.draw(0);
    say(byId("token-error"), message);
  }

  show(answer, text, bytes) {
    say(byId("token-error"), "");
    this.tokens = answer.tokens;
    this.characters = [...text];
    this.groups = groupsOf(this.tokens);
    this.groupOf = this.groups.flatMap((group) => group.members.map(() => group));
    this.count(answer.count, this.characters.length, bytes);
    this.draw(AT_ONCE);
  }

  count(tokens, characters, bytes) {
    byId("count-tokens").textContent = count(tokens);
    byId("count-characters").textContent = count(characters);
    byId("count-bytes").textContent = count(bytes);
    byId("count-ratio").textContent = tokens ? (characters / tokens).toFixed(2) : "–";
  }

  /** Draw the first tokens, whole characters only; the rest waits for a button, as no page bears a million chips. */
  draw(most) {
    const groups = this.groups.filter((group) => group.members[0] < most);
    this.shown = groups.length ? groups.at(-1).members.at(-1) + 1 : 0;
    const empty = h("span", { class: "empty" }, this.text.value ? "No tokens" : "No text, no tokens");
    this.list.replaceChildren(...(groups.length ? chips(groups, this.tokens, this.characters) : [empty]));
    this.ids.replaceChildren(...(groups.length ? idItems(this.tokens, this.shown) : ["–"]));
    this.linked.reset();
    const hidden = this.tokens.length - this.shown;
    byId("token-more").hidden = hidden === 0;
    byId("token-more-note").textContent = `The first ${count(this.shown)} are shown, ${count(hidden)} are not.`;
    this.readout.className = "readout readout--empty";
    const hint = this.tokens.length ? `Point at one of the ${many(this.tokens.length, "token")}.` : "";
    this.readout.replaceChildren(h("span", { class: "note" }, hint));
  }

  showToken(i) {
    this.readout.className = `readout ink-${(i % 6) + 1}`;
    this.readout.replaceChildren(...readout(i, this.tokens, this.groupOf[i], this.characters));
  }
}

export function startTokens(chosen) {
  return new TokenPanel(chosen).start();
}

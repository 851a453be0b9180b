/** The page of tokens: the text while it is typed, by one tokenizer. The parts below, of the same text, come after. */

import { asked, remember } from "./address.js";
import { all, call, inWords } from "./api.js";
import { copy, installCopyButtons } from "./copying.js";
import { byId, debounce, h, say } from "./dom.js";
import { count, many, size } from "./format.js";
import { commands } from "./token_commands.js";
import { TokenLists } from "./token_lists.js";
import { ink, readout } from "./token_view.js";

const PAUSE_MS = 120;
const BYTES_A_MS = 2000; // a large text waits longer: its answer has thirty times its size
const MOST_IN_ADDRESS = 4000; // characters

class TokensPage {
  constructor({ tokenizer, maxBytes }) {
    this.maxBytes = Number(maxBytes);
    this.preferred = tokenizer;
    this.text = byId("text");
    this.select = byId("tokenizer");
    this.entries = new Map(); // of the vocabulary, by tokenizer and id
    this.lists = new TokenLists(byId("token-list"), byId("id-list"), { onLight: (i) => this.#tell(i), onChoose: (i) => this.#play(i) });
    this.parts = null; // a `TokenParts`
    this.entrySoon = debounce((i) => this.#readEntry(i), 100);
    this.rememberSoon = debounce(() => this.#remember(), 300); // browsers take but a few a second
    this.#listen();
  }

  async start() {
    this.#readAddress();
    const first = this.changed();
    await this.offer();
    await first;
    const { TokenParts } = await import("./token_parts.js");
    this.parts = new TokenParts(this);
    await this.parts.start();
  }

  #listen() {
    let timer;
    this.text.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.changed(), PAUSE_MS + this.text.value.length / BYTES_A_MS);
    });
    this.select.addEventListener("change", () => this.changed());
    byId("specials").addEventListener("change", () => this.changed());
    byId("show-spaces").addEventListener("change", ({ target }) => byId("tokens").classList.toggle("spaces-hidden", !target.checked));
    byId("copy-ids").addEventListener("click", ({ currentTarget }) => copy(JSON.stringify(this.lists.tokens.map(({ id }) => id)), currentTarget));
    byId("token-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.changed();
    });
    for (const button of document.querySelectorAll("[data-sample]")) {
      button.addEventListener("click", () => {
        this.text.value = button.dataset.sample;
        this.changed({ step: true });
      });
    }
    window.addEventListener("popstate", () => {
      this.#readAddress();
      this.parts?.from(asked());
      this.changed();
    });
  }

  #readAddress() {
    const query = asked();
    if (query.has("text")) this.text.value = query.get("text");
    if (query.get("tokenizer")) this.select.value = query.get("tokenizer");
    byId("specials").checked = query.get("specials") === "parse";
  }

  /** The tokenizers that there are, to all parts; `made` is one that has just been trained. */
  async offer(made = null) {
    try {
      this.rows = await all("/tokenizers", { key: "name" });
    } catch (error) {
      return say(byId("token-error"), `The list of tokenizers did not come. ${inWords(error)}`);
    }
    const before = this.select.value;
    this.select.replaceChildren(...this.rows.map(option));
    this.select.value = [before, this.preferred].find((name) => this.rows.some((row) => row.name === name && row.available));
    this.parts?.offer(this.rows, made);
    if (this.select.value !== before) this.changed();
  }

  get body() {
    const body = { text: this.text.value, tokenizer: this.select.value || this.preferred };
    return byId("specials").checked ? { ...body, specials: "parse" } : body;
  }

  /** Ask for the tokens of what stands there now. A newer call makes an older one's answer void. */
  async changed({ step = false } = {}) {
    this.asking?.abort();
    const asking = (this.asking = new AbortController());
    const { body } = this;
    const bytes = new TextEncoder().encode(body.text).length;
    if (step) this.#remember({ step });
    else this.rememberSoon();
    for (const [language, command] of Object.entries(commands(body))) byId(`${language}-command`).textContent = command;
    if (bytes > this.maxBytes) return this.#fail(`The text has ${size(bytes)}; up to ${size(this.maxBytes)} can be shown at a time.`);
    const slow = setTimeout(() => byId("tokens").classList.add("is-stale"), 250);
    try {
      const answer = await call("/tokenize", { method: "POST", body, signal: asking.signal });
      if (this.asking === asking) this.#show(answer, body, bytes);
    } catch (error) {
      if (this.asking === asking && error.name !== "AbortError") this.#fail(inWords(error));
    } finally {
      clearTimeout(slow);
      if (this.asking === asking) byId("tokens").classList.remove("is-stale");
    }
  }

  #fail(message) {
    this.lists.clear("No tokens");
    this.parts?.clear();
    this.#count(null, null, null);
    this.#hint("");
    say(byId("token-error"), message);
  }

  #show({ tokens }, body, bytes) {
    say(byId("token-error"), "");
    this.shown = body;
    if (tokens.length) this.lists.show(tokens, body.text);
    else this.lists.clear(body.text ? "No tokens" : "No text, no tokens");
    this.#count(tokens.length, tokens.length ? this.lists.characters.length : 0, bytes);
    this.#hint(tokens.length ? `Point at one of the ${many(tokens.length, "token")}, or move with the arrow keys. Enter plays its merges.` : "");
    this.parts?.read();
  }

  #count(tokens, characters, bytes) {
    byId("count-tokens").textContent = count(tokens);
    byId("count-characters").textContent = count(characters);
    byId("count-bytes").textContent = count(bytes);
    byId("count-ratio").textContent = tokens ? (characters / tokens).toFixed(2) : "–";
  }

  #hint(words) {
    byId("token-readout").className = "readout readout--empty";
    byId("token-readout").replaceChildren(h("span", { class: "note" }, words));
  }

  #tell(i) {
    const { lists, shown } = this;
    const entry = this.entries.get(`${shown.tokenizer} ${lists.tokens[i].id}`);
    byId("token-readout").className = `readout ${ink(i)}`;
    byId("token-readout").replaceChildren(...readout(i, lists.tokens, lists.group(i), lists.characters, entry));
    if (!entry && this.rows?.find((row) => row.name === shown.tokenizer)?.kind === "bpe") this.entrySoon(i);
  }

  /** Look up a token in its vocabulary: its rank, and what it was merged from. */
  async #readEntry(i) {
    const [name, id] = [this.shown.tokenizer, this.lists.tokens[i]?.id];
    if (id === undefined) return;
    try {
      const { data } = await call(`/tokenizers/${encodeURIComponent(name)}/vocab?limit=1${id ? `&after=${id - 1}` : ""}`);
      this.entries.set(`${name} ${id}`, data[0]);
    } catch (error) {
      return say(byId("token-error"), `What is known of id ${id} did not come. ${inWords(error)}`);
    }
    if (this.lists.lit === i && this.shown.tokenizer === name) this.#tell(i);
  }

  /** Play the merges of the word that a token stands in: what lies between spaces, and the space before it. */
  #play(i) {
    const { characters, tokens } = this.lists;
    let { start, end } = tokens[i];
    while (start > 0 && !/\s/.test(characters[start])) start -= 1;
    while (end < characters.length && !/\s/.test(characters[end])) end += 1;
    this.parts?.play(characters.slice(start, end).slice(0, 64).join(""), this.shown.tokenizer);
    this.rememberSoon();
  }

  #remember(how) {
    const { text, ...rest } = this.body;
    const parts = this.parts ? this.parts.state : Object.fromEntries([...asked()].filter(([name]) => !["text", "tokenizer", "specials"].includes(name)));
    remember({ text: text.length > MOST_IN_ADDRESS ? "" : text, ...rest, ...parts }, how);
  }
}

function option(row) {
  const about = row.available ? (row.vocab_size ? `${count(row.vocab_size)} ids` : row.kind) : "not on this machine";
  return h("option", { value: row.name, disabled: !row.available }, `${row.name} (${about})`);
}

installCopyButtons();
await new TokensPage(byId("tokens-page").dataset).start();

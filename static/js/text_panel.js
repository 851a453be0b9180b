/** The text on the page: written, stopped, gone on with, branched from at a token, kept, opened again. */

import { inWords } from "./api.js";
import { addressOf, keep, open } from "./branches.js";
import { copy } from "./copying.js";
import { byId, say } from "./dom.js";
import { GenerationView, spelled } from "./generation_view.js";
import { NotANumber } from "./numbers.js";
import { endingOf, write } from "./writing.js";

const GOES_ON = ["length", "stopped", "broken", "abort"]; // endings that leave a text open

export class TextPanel {
  /**
   * `form` is a `GenerateForm`, `request()` what it asks for: `{asked, model, settings}`. `onLine(place)` is called when
   * another text is on the page, whose newest part begins at that token; `onDraw(i)` where the draw of a token is wanted.
   */
  constructor(form, request, { isRemote, onLine, onDraw }) {
    Object.assign(this, { form, request, isRemote, onLine });
    const offers = isRemote ? {} : { onDraw, onPick: (i, token) => this.#branch(i, token) };
    this.view = new GenerationView(byId("output"), byId("output-readout"), offers);
    this.ways = null; // the tree that is drawn of it, once that is there
    this.line = null; // {asked, model, settings, tokens, reason, parent, at, branch, tree}
    this.running = null;
    this.#listen();
  }

  #listen() {
    document.addEventListener("keydown", (event) => event.key === "Escape" && this.running?.abort());
    byId("stop").addEventListener("click", () => this.running?.abort());
    byId("go-on").addEventListener("click", () => this.#branch(this.line.tokens.length));
    byId("reply").addEventListener("click", () => this.form.reply(this.line.tokens.map(({ text }) => text).join("")));
    byId("copy-seed").addEventListener("click", ({ target }) => copy(String(this.line.settings.seed), target));
    byId("reuse-seed").addEventListener("click", () => this.form.set("seed", this.line.settings.seed));
    byId("copy-address").addEventListener("click", ({ target }) => copy(this.#address(), target));
    byId("figures").addEventListener("change", ({ target }) => byId("output").classList.toggle("figures", target.checked));
  }

  #address() {
    return this.line.branch ? location.origin + addressOf(this.line.branch) : location.href;
  }

  /** Write what the form asks for. What is written from one prompt is of one tree. */
  async run() {
    if (this.running) return;
    const request = this.#asked();
    if (!request) return;
    const isSame = this.line?.tree && JSON.stringify(request.asked) === JSON.stringify(this.line.asked);
    await this.#write(request, [], isSame ? { parent: this.line.tree, at: 0 } : { parent: null, at: 0 });
  }

  /** Go on from place i of the text, with another token there or, without `token`, with what comes. */
  async #branch(i, token = null) {
    this.running?.abort();
    await this.written;
    const asked = this.#asked();
    if (!asked) return;
    const { line } = this;
    const kept = line.tokens.slice(0, i);
    if (token) kept.push({ ...token, text: spelled(token) === null ? "" : token.text, top: line.tokens[i].top, chosen: true });
    const place = line.branch ? { parent: line.branch, at: i } : { parent: line.parent, at: Math.min(line.at, i) };
    await this.#write({ asked: line.asked, model: line.model, settings: asked.settings }, kept, place);
  }

  #asked() {
    this.form.unmark();
    say(byId("generate-error"), "");
    try {
      return this.request();
    } catch (error) {
      if (!(error instanceof NotANumber)) throw error;
      say(byId("generate-error"), error.message);
      return null;
    }
  }

  #write(...asked) {
    const panel = byId("generate");
    panel.setAttribute("aria-busy", "true"); // until it is kept too, or was found not to be
    this.written = this.#writing(...asked).finally(() => panel.removeAttribute("aria-busy"));
    return this.written;
  }

  async #writing(request, kept, place) {
    const begin = kept.map((token) => token.id);
    const { asked, model } = request;
    const settings = begin.length ? { ...request.settings, begin } : request.settings;
    const others = [];
    let isEnd = false;
    const before = this.line;
    this.#setRunning(new AbortController());
    const { signal } = this.running;
    const onBegun = (begun) => {
      this.view.retell(kept.length - 1, begun.at(-1).text);
      isEnd = begun.at(-1).ends;
      if (isEnd) this.running.abort();
    };
    const onOther = (token, index) => (others[index] ??= []).push(token);
    let ending;
    try {
      const prompt = asked.prompt ?? null;
      ending = await write({ model, ...asked, ...settings, stream: true }, this.view, { signal, prompt, kept, tell: (words) => this.#tell(words), onOther, onBegun });
    } catch (error) {
      this.form.refuse(error);
      say(byId("generate-error"), inWords(error));
      ending = { reasons: [], cut: "broken", reason: "broken", words: endingOf("broken") };
    } finally {
      this.#setRunning(null);
    }
    if (isEnd) {
      this.view.begin(asked.prompt ?? null, kept);
      this.view.end();
      Object.assign(ending, { reason: "stop", words: endingOf("stop") });
    }
    const { tokens } = this.view;
    if (tokens.length === kept.length && !isEnd && before && ending.reason !== "stop") return this.#show(before); // nothing came of it
    this.line = { asked, model, settings: request.settings, tokens, reason: ending.reason, ...place, branch: null, tree: null };
    this.sent = { model, ...asked, ...settings };
    this.#tell(ending.words);
    await this.#keep(others, ending, kept);
    this.#offer();
    this.onLine(kept.at(-1)?.chosen ? kept.length - 1 : kept.length);
  }

  /** Keep the text, and the others that were written at once. */
  async #keep(others, { reasons, cut }, kept) {
    const { line } = this;
    if (!byId("keep").checked || !line.tokens.length) return;
    try {
      const row = await keep(line);
      Object.assign(line, { branch: row.id, tree: row.tree, parent: row.parent, at: row.at });
      for (const [index, tokens] of others.entries()) {
        if (!tokens) continue;
        const settings = { ...line.settings, seed: line.settings.seed + index };
        const place = { parent: row.parent ?? row.id, at: row.parent === null ? 0 : row.at };
        await keep({ ...line, ...place, settings, tokens: [...kept, ...tokens], reason: reasons[index] ?? cut });
      }
      history.pushState(null, "", addressOf(row.id));
      await this.ways?.show(row.tree, row.id);
    } catch (error) {
      this.#tell(`${byId("generate-status").textContent} · Not kept on the server: ${inWords(error)}`);
    }
  }

  /** Show a kept text; `isNew`: the address does not name it yet. */
  async open(id, { isNew = true } = {}) {
    this.running?.abort();
    await this.written;
    try {
      this.line = await open(id);
    } catch (error) {
      say(byId("generate-error"), inWords(error));
      return;
    }
    if (isNew) history.pushState(null, "", addressOf(id));
    this.form.fill(this.line);
    await this.#show(this.line);
    await this.ways?.show(this.line.tree, id);
  }

  /** Take a text over that was written elsewhere on the page. */
  async adopt(line) {
    this.line = { ...line, parent: null, at: 0, branch: null, tree: null };
    this.form.fill(this.line);
    await this.#show(this.line);
    byId("prompt").scrollIntoView();
    await this.#keep([], {}, []);
    this.onLine(0);
  }

  async #show(line) {
    const { tokens, at, settings, model, asked } = line;
    this.line = line;
    const begin = tokens.slice(0, tokens[at]?.chosen ? at + 1 : at).map((token) => token.id);
    this.sent = { model, ...asked, ...settings, ...(begin.length && { begin }) };
    this.view.begin(asked.prompt ?? null, tokens);
    this.view.end();
    this.#tell(endingOf(line.reason));
    this.#offer();
    this.onLine(at);
  }

  /** The text on the page is kept no more; it stays on the page. */
  letGo() {
    Object.assign(this.line, { branch: null, tree: null, parent: null, at: 0 });
    this.onLine(0);
  }

  #offer() {
    const { reason, tokens, asked, settings } = this.line;
    byId("go-on").hidden = this.isRemote || !GOES_ON.includes(reason) || !tokens.length;
    byId("reply").hidden = !asked.messages || !tokens.length;
    byId("seed-used").hidden = settings.seed === undefined;
    byId("seed-used").querySelector("code").textContent = settings.seed ?? "";
    byId("copy-address").hidden = false;
  }

  #tell(words) {
    byId("generate-status").textContent = words;
  }

  #setRunning(running) {
    this.running = running;
    const [go, stop, focused] = [byId("go"), byId("stop"), document.activeElement];
    go.disabled = running !== null;
    stop.disabled = running === null;
    if (running) for (const id of ["go-on", "reply", "seed-used"]) byId(id).hidden = true;
    if (running && focused === go) stop.focus();
    if (!running && focused === stop) go.focus();
  }
}

/** The ways a text went, as a tree of links, and the list of all trees that are kept. */

import { all, call, inWords } from "./api.js";
import { addressOf, remove } from "./branches.js";
import { byId, h, say } from "./dom.js";
import { many, moment } from "./format.js";

const MOST_OF_TREE = 500;
const SHORT = 60; // characters

function short(text) {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length > SHORT ? `${line.slice(0, SHORT)} …` : line || "(no text)";
}

export class BranchTree {
  /** `onOpen(id)` is called where one is to be shown, `onGone()` where the one on the page was deleted. */
  constructor(onOpen, onGone) {
    Object.assign(this, { onOpen, onGone });
    this.tree = this.current = this.after = null;
    byId("kept").addEventListener("toggle", ({ target }) => target.open && this.#trees());
    byId("kept-more").addEventListener("click", () => this.#trees(this.after));
  }

  /** Show a tree, with the branch that is on the page marked; null: none. */
  async show(tree, current) {
    Object.assign(this, { tree, current });
    const rows = tree === null ? [] : await this.#asked(all(`/branches?tree=${encodeURIComponent(tree)}`, { limit: MOST_OF_TREE }));
    if (!rows || this.tree !== tree) return;
    const left = grouped(rows);
    byId("ways-empty").hidden = rows.length > 0;
    byId("ways-tree").replaceChildren(...this.#items(left, null));
    if (byId("kept").open) this.#trees();
  }

  #items(left, parent) {
    return (left.get(parent) ?? []).map((row) => {
      const inner = this.#items(left, row.id);
      return h("li", {}, this.#line(row), inner.length ? h("ul", {}, ...inner) : null);
    });
  }

  #line(row) {
    const { temperature, seed } = row.sampling;
    const place = row.parent === null ? "the first" : row.at ? `from token ${row.at + 1}` : "from the prompt";
    const about = [place, row.model, `temperature ${temperature}`, seed === null ? "" : `seed ${seed}`, row.finish_reason === "broken" ? "broken off" : ""];
    return this.#kept(row, short(row.excerpt), about, row.id === this.current);
  }

  #kept(row, text, about, isCurrent = false) {
    const link = h("a", { href: addressOf(row.id), dir: "auto", "aria-current": isCurrent ? "true" : null }, text);
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      this.onOpen(row.id);
    });
    return h("div", { class: "ways__line" }, link, h("span", { class: "note" }, about.filter(Boolean).join(" · ")), this.#remover(row));
  }

  /** The first press asks, the second one deletes. */
  #remover(row) {
    const button = h("button", { type: "button", class: "button button--plain button--small", "aria-label": `Delete “${short(row.excerpt)}”` }, "Delete");
    button.addEventListener("blur", () => (button.textContent = "Delete"));
    button.addEventListener("click", async () => {
      if (button.textContent === "Delete") {
        button.textContent = row.parent === null ? "Really, all of it?" : "Really?";
        return;
      }
      if (!(await this.#asked(remove(row.id)))) return;
      await this.#left(row);
    });
    return button;
  }

  /** Show what is left without that one and all that left it. */
  async #left({ id, tree }) {
    const { current } = this;
    if (tree !== this.tree) return this.#trees();
    await this.show(id === tree ? null : tree, current);
    if (current !== null && !byId("ways-tree").querySelector("[aria-current]")) this.onGone();
  }

  async #trees(after = null) {
    const page = await this.#asked(call(`/branches?limit=20${after ? `&after=${encodeURIComponent(after)}` : ""}`));
    if (!page) return;
    const lines = page.data.map((row) => h("li", {}, this.#kept(row, `${short(row.opening)} → ${short(row.excerpt)}`, [many(row.branches, "way"), row.model, moment(row.created_at)])));
    if (after) byId("kept-list").append(...lines);
    else byId("kept-list").replaceChildren(...(lines.length ? lines : [h("li", { class: "empty" }, "None is kept.")]));
    this.after = page.data.at(-1)?.id ?? null;
    byId("kept-more").hidden = !page.has_more;
  }

  /** What was asked for; null, and words on the page, where it is refused. */
  async #asked(answer) {
    say(byId("ways-error"), "");
    try {
      return await answer;
    } catch (error) {
      say(byId("ways-error"), inWords(error));
      return null;
    }
  }
}

function grouped(rows) {
  const groups = new Map();
  for (const row of rows) groups.set(row.parent, [...(groups.get(row.parent) ?? []), row]);
  return groups;
}

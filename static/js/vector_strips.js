/** Vectors as strips, a number a pixel: of each token its own, its position's, and the sum of both. Arrow keys move. */

import { byId, h } from "./dom.js";
import { count, many } from "./format.js";
import { visible } from "./glyphs.js";
import { inks, picture } from "./heat.js";

const MOST = 12; // tokens
const NAMES = { vectors: "token", positions: "+ position", sums: "= sum" };

export class VectorStrips {
  constructor() {
    this.rows = [];
    byId("strip-details").addEventListener("toggle", () => this.#table());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
  }

  /** Show the first tokens of an answer to POST /embeddings. */
  show(answer) {
    const parts = Object.entries({ vectors: answer.vectors, positions: answer.positions?.vectors, sums: answer.sums?.vectors });
    const known = parts.filter(([, rows]) => rows);
    const first = answer.ids.slice(0, MOST);
    this.groups = first.map((id, i) => ({ text: answer.texts?.[i] ?? String(id), rows: known.map(([name, rows]) => ({ name: NAMES[name], values: rows[i] })) }));
    const all = this.groups.flatMap((group) => group.rows.flatMap((row) => row.values.map(Math.abs)));
    this.most = Math.max(1e-9, ...spread(all));
    const rest = answer.ids.length - first.length;
    const table = answer.positions ? "" : " This model adds no position to them: it has no table of those.";
    byId("strips-note").textContent = `${count(answer.shape[1])} of them for each token${rest > 0 ? `; the first ${MOST} of ${many(answer.ids.length, "token")} are shown` : ""}.${table}`;
    byId("strips").hidden = false;
    byId("strip-told").textContent = "";
    this.#draw();
    this.#table();
  }

  clear() {
    this.groups = null;
    byId("strips").hidden = true;
  }

  #draw() {
    if (!this.groups) return;
    const now = inks();
    byId("strip-list").replaceChildren(
      ...this.groups.map((group) => h("div", { class: "strips__group" }, h("h3", {}, ...visible(group.text)), ...group.rows.map((row) => this.#strip(group, row, now)))),
    );
  }

  #strip(group, row, now) {
    const { values } = row;
    const share = (i) => (values[i] === null ? NaN : Math.max(-1, Math.min(1, values[i] / this.most)));
    const drawn = picture(1, values.length, share, now);
    drawn.className = "strip";
    drawn.tabIndex = 0;
    drawn.setAttribute("role", "img");
    drawn.setAttribute("aria-label", `${row.name} of ${group.text}: ${many(values.length, "number")}; arrow keys tell them`);
    const tell = (i) => {
      row.at = Math.max(0, Math.min(values.length - 1, i));
      const value = values[row.at];
      byId("strip-told").replaceChildren(...visible(group.text), `, ${row.name}: number ${row.at} is ${value === null ? "no number" : value.toFixed(4)}`);
    };
    drawn.addEventListener("pointermove", (event) => {
      const box = drawn.getBoundingClientRect();
      tell(Math.floor(((event.clientX - box.left) / box.width) * values.length));
    });
    drawn.addEventListener("keydown", (event) => {
      const to = { ArrowRight: (row.at ?? -1) + 1, ArrowLeft: (row.at ?? 1) - 1, Home: 0, End: values.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      tell(to);
    });
    return h("div", { class: "strips__row" }, h("span", { class: "note" }, group.rows.length > 1 ? row.name : ""), drawn);
  }

  #table() {
    if (!this.groups || !byId("strip-details").open) return;
    const rows = this.groups.flatMap((group) => group.rows.map((row) => ({ ...row, text: group.text })));
    const heads = rows.map((row) => h("th", { scope: "col" }, ...visible(row.text), rows.length > this.groups.length ? ` ${row.name}` : ""));
    byId("strip-head").replaceChildren(h("tr", {}, h("td", {}), ...heads));
    const lines = rows[0].values.map((_, i) => h("tr", {}, h("th", { scope: "row" }, String(i)), ...rows.map((row) => h("td", {}, row.values[i]?.toFixed(4) ?? "–"))));
    byId("strip-body").replaceChildren(...lines);
  }
}

/** The size that all but the very largest stay below: a few large ones would leave the rest pale. */
function spread(sizes) {
  const sorted = sizes.sort((one, other) => one - other);
  return [sorted[Math.floor((sorted.length - 1) * 0.99)] ?? 0];
}

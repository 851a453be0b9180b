/** What the lessons' pictures are made of: tables of shares, bars, chips. Each takes nodes or texts, and draws texts as text. */

import { h } from "./dom.js";

const INKS = 6;
const [WIDE, HIGH] = [320, 180];

/** A group and no region: a page has many, of like names. */
function framed(table, caption) {
  return h("div", { class: "table-wrap", tabindex: "0", role: "group", "aria-label": caption }, table);
}

/** Nodes may stand in several places of a picture. */
function copies(content) {
  return [content].flat().map((node) => (typeof node === "object" ? node.cloneNode(true) : String(node)));
}

/** A table; a column is of numbers where its head says so with a leading `#`. The first cell of a row names it. */
export function table(caption, head, rows) {
  const isNumber = head.map((name) => name.startsWith("#"));
  const kind = (i) => (isNumber[i] ? "number" : null);
  const cell = (content, i) => (i ? h("td", { class: kind(i) }, ...copies(content)) : h("th", { scope: "row" }, ...copies(content)));
  const made = h(
    "table",
    { class: "plain" },
    h("caption", {}, caption),
    h("thead", {}, h("tr", {}, ...head.map((name, i) => (name ? h("th", { scope: "col", class: kind(i) }, name.replace(/^#/, "")) : h("td", {}))))),
    h("tbody", {}, ...rows.map((row) => h("tr", {}, ...row.map(cell)))),
  );
  return framed(made, caption);
}

/** Named bars: `[name, share, told]` each, shares from 0 to 1. */
export function bars(caption, rows) {
  const line = ([name, share, told]) => {
    const fill = h("div", { class: "bar__fill" });
    fill.style.width = `${Math.max(0, Math.min(1, share)) * 100}%`;
    return h("tr", {}, h("th", { scope: "row" }, ...copies(name)), h("td", { "aria-hidden": "true" }, h("div", { class: "bar" }, fill)), h("td", { class: "number" }, told));
  };
  return h("table", { class: "bars" }, h("caption", {}, caption), h("tbody", {}, ...rows.map(line)));
}

/** A table of shares, darker for larger ones: each row looks, each column is looked at. */
export function heat(caption, rows, labels) {
  const head = h("tr", {}, h("td", {}), ...labels.map((label) => h("th", { scope: "col" }, ...copies(label))));
  const body = rows.map((row, i) => h("tr", {}, h("th", { scope: "row" }, ...copies(labels[i])), ...row.map(share)));
  return framed(h("table", { class: "heat" }, h("caption", {}, caption), h("thead", {}, head), h("tbody", {}, ...body)), caption);
}

function share(value) {
  const made = h("td", {}, value === 0 ? "0" : value.toFixed(2));
  made.style.setProperty("--share", value);
  return made;
}

/** Pieces of a text in a row, each `[text nodes, what stands under it, whether it is dim]`. */
export function chips(pieces, caption = "") {
  const made = pieces.map(([text, under, isDim], i) =>
    h("li", { class: isDim ? "chip chip--dim" : `chip ink-${(i % INKS) + 1}` }, h("span", {}, ...copies(text)), under === undefined ? null : h("span", { class: "chip__under" }, String(under))),
  );
  const list = h("ul", { class: "chips", tabindex: caption ? "0" : null, "aria-label": caption || null }, ...made);
  return caption ? h("figure", { class: "captioned" }, h("figcaption", {}, caption), list) : list;
}

/** Lines through `[x, y]` points over one another, each `{name, points}`, in a frame that holds them all. */
export function curves(caption, lines) {
  const all = lines.flatMap(({ points }) => points);
  const [xs, ys] = [all.map(([x]) => x), all.map(([, y]) => y)];
  const [left, bottom] = [Math.min(...xs, 0), Math.min(...ys, 0)];
  const [width, height] = [Math.max(...xs, 0) - left || 1, Math.max(...ys, 0) - bottom || 1];
  const place = ([x, y]) => [((x - left) / width) * WIDE, (1 - (y - bottom) / height) * HIGH];
  const line = (points, name) => svg("polyline", { class: name, points: points.map((point) => place(point).map((at) => at.toFixed(1)).join(",")).join(" ") });
  const axes = [[[left, 0], [left + width, 0]], [[0, bottom], [0, bottom + height]]].map((axis) => line(axis, "curve curve--axis"));
  const drawn = lines.map(({ points }, i) => line([...points].sort(([a], [b]) => a - b), `curve curve--${i + 1}`));
  const names = lines.map(({ name }, i) => h("span", { class: `curve-name curve-name--${i + 1}` }, name));
  const picture = svg("svg", { viewBox: `-4 -4 ${WIDE + 8} ${HIGH + 8}`, role: "img", "aria-label": caption }, ...axes, ...drawn);
  return h("figure", { class: "captioned" }, h("figcaption", {}, caption, " ", ...names), picture);
}

function svg(tag, attributes, ...children) {
  const element = document.createElementNS(document.querySelector("svg").namespaceURI, tag); // that of the page's own sign
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

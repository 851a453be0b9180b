/** Vectors as points of a plane or a space, drawn by Plotly with labels, and their twin, a table. */

import { byId, debounce, h } from "./dom.js";
import { count, percent } from "./format.js";
import { plain } from "./glyphs.js";
import { colour } from "./heat.js";
import { CONFIG, layout } from "./plot_style.js";
import { fitting } from "./map_labels.js";
import { whenPlotly } from "./plotly.js";

const KINDS = {
  asked: ["looked up", "--accent", "circle", 9],
  near: ["near", "--ink-2", "diamond", 7],
  plus: ["added", "--accent", "circle", 9],
  minus: ["taken away", "--ink-4", "x", 8],
  answer: ["nearest to the sum", "--ink-2", "diamond", 9],
  frequent: ["frequent", "--accent", "circle", 6],
  position: ["positions", "--accent", "circle", 5],
};
const MARGIN = { l: 76, r: 12, t: 28, b: 46 };
const LONGEST = 18; // characters of a label
const MOST_LABELS = { plane: 400, space: 40, narrow: 16 };
const NARROW = 480; // pixels
const AXES = ["x", "y", "z"];

export class VectorMap {
  /** `onPoint(point)` is called for one that is pressed. */
  constructor(onPoint) {
    this.box = byId("map-chart");
    this.onPoint = onPoint;
    this.found = new Set();
    this.points = [];
    byId("find").addEventListener("input", debounce(() => this.#find(), 150));
    byId("map-details").addEventListener("toggle", () => this.#table());
    new ResizeObserver(debounce(() => this.#label(), 120)).observe(this.box);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
  }

  /**
   * Draw `points`, {id, text, kind, times}, in the order of their weight, at the places of `projection`; `lines` are pairs of
   * places in them to join.
   */
  show(points, projection, { lines = [], note = "" } = {}) {
    const isOther = projection.explained.length !== this.explained?.length;
    this.points = points.map((point, i) => ({ ...point, at: projection.points[i], label: plain(point.text, LONGEST) || "(empty)" }));
    this.explained = projection.explained;
    this.lines = lines;
    byId("map").hidden = false;
    if (isOther) window.Plotly?.purge(this.box); // a plane is no space
    byId("map-note").textContent = `${note} The axes hold ${percent(this.explained.reduce((sum, share) => sum + share, 0))} of all differences.`.trim();
    byId("find-part").hidden = points.length < 30;
    this.#find();
    this.#table();
  }

  clear() {
    byId("map").hidden = true;
    if (this.points.length) window.Plotly?.purge(this.box);
    this.points = [];
    this.explained = undefined;
  }

  #find() {
    const wanted = byId("find").value.trim().toLowerCase();
    const fits = (point) => wanted !== "" && point.text.toLowerCase().includes(wanted);
    this.found = new Set([...this.points.keys()].filter((i) => fits(this.points[i])));
    byId("found").textContent = wanted === "" || !this.points.length ? "" : `${count(this.found.size)} found`;
    this.#draw();
  }

  #draw() {
    if (!this.points.length) return;
    if (!window.Plotly) return whenPlotly(() => this.#draw());
    const isSpace = this.explained.length === 3;
    const shown = this.#labelled();
    const kinds = [...new Set(this.points.map((point) => point.kind))];
    const traces = [...this.#joins(isSpace), ...kinds.map((kind) => this.#trace(kind, shown, isSpace))];
    const drawn = window.Plotly.react(this.box, traces, this.#layout(isSpace, kinds), { ...CONFIG, scrollZoom: isSpace });
    this.box.setAttribute("aria-label", `Map of ${count(this.points.length)} vectors in ${isSpace ? "a space" : "a plane"}; the table below has its points`);
    drawn.then((plot) => {
      plot.removeAllListeners("plotly_click");
      plot.removeAllListeners("plotly_relayout");
      plot.on("plotly_click", (event) => this.onPoint(this.points[event.points[0].customdata]));
      plot.on("plotly_relayout", () => this.#label());
    });
  }

  #trace(kind, shown, isSpace) {
    const [name, ink, symbol, size] = KINDS[kind];
    const places = [...this.points.keys()].filter((i) => this.points[i].kind === kind);
    const at = Object.fromEntries(this.explained.map((_, axis) => [AXES[axis], places.map((i) => this.points[i].at[axis])]));
    const sizes = places.map((i) => (this.found.has(i) ? size + 6 : size));
    return {
      type: isSpace ? "scatter3d" : "scatter",
      mode: "markers+text",
      name,
      ...at,
      customdata: places,
      text: places.map((i) => (shown.has(i) ? (isSpace ? unread : escaped)(this.points[i].label) : "")),
      hovertext: places.map((i) => this.#told(this.points[i])),
      hoverinfo: "text",
      textposition: "top center",
      textfont: { size: 12, color: colour("--ink") },
      marker: {
        size: isSpace ? sizes.map((one) => one * 0.7) : sizes,
        symbol,
        color: places.map((i) => colour(this.found.has(i) ? "--surprise" : ink)),
        opacity: 0.85,
      },
      cliponaxis: false,
    };
  }

  #joins(isSpace) {
    if (!this.lines.length) return [];
    const at = this.explained.map((_, axis) => this.lines.flatMap((pair) => [...pair.map((i) => this.points[i].at[axis]), null]));
    const line = { color: colour("--line-strong"), width: isSpace ? 3 : 1.5 };
    return [{ type: isSpace ? "scatter3d" : "scatter", mode: "lines", hoverinfo: "skip", showlegend: false, line, ...Object.fromEntries(at.map((values, axis) => [AXES[axis], values])) }];
  }

  #layout(isSpace, kinds) {
    const base = layout();
    const titled = (axis) => ({ title: { text: `${["first", "second", "third"][axis]}${isSpace ? "" : " axis"} (${percent(this.explained[axis])})` } });
    const common = { ...base, margin: MARGIN, hovermode: "closest", showlegend: kinds.length > 1, uirevision: String(this.explained.length) };
    if (!isSpace) {
      const axis = { ...base.yaxis, zeroline: true, zerolinecolor: base.yaxis.gridcolor };
      return { ...common, dragmode: "pan", xaxis: { ...axis, ...titled(0) }, yaxis: { ...axis, ...titled(1) } };
    }
    const wall = { gridcolor: colour("--line"), zerolinecolor: colour("--line-strong"), color: colour("--ink-soft"), showbackground: false };
    const scene = Object.fromEntries(AXES.map((name, axis) => [`${name}axis`, { ...wall, ...titled(axis) }]));
    return { ...common, margin: { l: 0, r: 0, t: 28, b: 0 }, scene: { ...scene, camera: { eye: { x: 1.3, y: 1.15, z: 0.6 } } } };
  }

  /** Places of the points with a label: in a plane those that fit, in a space the first ones. */
  #labelled() {
    const isSpace = this.explained.length === 3;
    const most = MOST_LABELS[isSpace ? (this.box.clientWidth < NARROW ? "narrow" : "space") : "plane"];
    const few = this.points.slice(0, most);
    if (isSpace) return new Set([...few.keys(), ...this.found]);
    const [width, height] = [this.box.clientWidth - MARGIN.l - MARGIN.r, this.box.clientHeight - MARGIN.t - MARGIN.b];
    const [across, up] = ["xaxis", "yaxis"].map((name, axis) => this.#range(name, axis));
    const toPixels = ({ at: [x, y] }) => [((x - across[0]) / (across[1] - across[0])) * width, (1 - (y - up[0]) / (up[1] - up[0])) * height];
    return fitting(few, toPixels, { width, height, always: this.found });
  }

  /** What an axis shows: as it was left, or about what Plotly makes of all points. */
  #range(name, axis) {
    const kept = this.box.layout?.[name]?.range;
    if (kept && this.box.data) return kept;
    const values = this.points.map((point) => point.at[axis]);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const room = (high - low) * 0.06 || 1;
    return [low - room, high + room];
  }

  #label() {
    if (!this.points.length || this.explained.length === 3 || !this.box.data) return;
    const shown = this.#labelled();
    const traces = this.box.data.map((trace, i) => [trace, i]).filter(([trace]) => trace.customdata);
    const texts = traces.map(([trace]) => [...trace.customdata].map((i) => (shown.has(i) ? escaped(this.points[i].label) : "")));
    window.Plotly.restyle(this.box, { text: texts }, traces.map(([, i]) => i));
  }

  #told(point) {
    const times = point.times === undefined ? "" : `, ${count(point.times)} times`;
    return `${escaped(point.label)}<br>${point.kind === "position" ? "" : `id ${point.id}${times}`}`;
  }

  #table() {
    if (!byId("map-details").open) return;
    const withTimes = this.points.some((point) => point.times !== undefined);
    const heads = ["Token", "Id", ...(withTimes ? ["Times"] : []), ...AXES.slice(0, this.explained.length)];
    byId("map-head").replaceChildren(h("tr", {}, ...heads.map((text, i) => h("th", { scope: "col", class: i ? "number" : "" }, text))));
    byId("map-points").replaceChildren(
      ...this.points.map((point) => {
        const numbers = [String(point.id), ...(withTimes ? [count(point.times)] : []), ...point.at.map((value) => value.toFixed(3))];
        return h("tr", {}, h("th", { scope: "row" }, point.label), ...numbers.map((text) => h("td", { class: "number" }, text)));
      }),
    );
  }
}

/** Labels in a space know no entities, but tags: what is no tag any more is shown as it is. */
function unread(text) {
  return text.replaceAll("<", "<\u200b");
}

/** Plotly reads tags and entities in its texts; a token is neither. */
function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** One model as a sheet: facts, where its bytes are, where it comes from, and what can be done with it. */

import { facts, h } from "./dom.js";
import { compact, count, moment, percent, size } from "./format.js";
import { lookAddress, tryAddress } from "./job_status.js";

const PARTS = { embedding: "embedding", attention: "attention", feed_forward: "feed-forward", norms: "norms", head: "head" };
const SOURCES = { builtin: "ships with Inkling", job: "trained here", import: "imported" };
const TAKE = [
  ["safetensors", "download", "Its weights alone, under our own names"],
  ["Hugging Face, f32", "export?format=huggingface", "A tar of a folder that transformers loads"],
  ["Hugging Face, f16", "export?format=huggingface&type=f16", "The same, half as large"],
  ["GGUF f32", "export?format=gguf", "For llama.cpp"],
  ["GGUF f16", "export?format=gguf&type=f16", "For llama.cpp, half as large"],
  ["GGUF q8_0", "export?format=gguf&type=q8_0", "For llama.cpp, a quarter as large"],
];

/** Word vectors and classifiers write nothing, and no other program's format holds them. */
function writes(model) {
  return !["word2vec", "classifier"].includes(model.family);
}

/** The sheet; `act(what, model, button)` is called for load, unload and delete. */
export function modelSheet(model, act) {
  const address = `/models/${encodeURIComponent(model.name)}`;
  return h(
    "article",
    { class: "sheet model", id: `model-${model.name}`, "aria-label": model.name },
    head(model),
    facts([
      ["family", model.family],
      ["parameters", h("span", { title: count(model.parameters) }, compact(model.parameters))],
      ...shape(model),
      ["tokenizer", model.tokenizer],
      ["licence", model.licence],
      ["in float32", size(model.memory_bytes)],
      ["in memory", model.held_bytes ? size(model.held_bytes) : null],
    ]),
    parts(model),
    lineage(model),
    model.available ? take(model, address) : null,
    actions(model, act),
  );
}

function head(model) {
  const about = [SOURCES[model.source], model.chat ? "answers chats" : null];
  if (model.created_at) about.push(moment(model.created_at));
  return h(
    "div",
    { class: "model__head" },
    h("h3", {}, h("a", { href: `/ui/models/${encodeURIComponent(model.name)}` }, model.name)),
    h("span", { class: `badge badge--${model.state === "loading" ? "running" : model.state}` }, inMemory(model)),
    h("span", { class: "note" }, about.filter(Boolean).join(" · ")),
    model.hint ? h("span", { class: "note" }, model.hint) : null,
  );
}

function inMemory({ state, progress }) {
  if (progress) return `being loaded: ${progress.stage}, ${progress.done} of ${progress.total}`;
  return { loaded: "in memory", loading: "being loaded", unloaded: "on disk" }[state];
}

function shape(model) {
  if (model.family === "classifier") return classes(model);
  const { config } = model;
  if (!writes(model)) return [["width", String(config.emb_dim)]];
  return [
    ["layers × width", `${config.n_layers} × ${config.emb_dim}`],
    ["heads", heads(config)],
    ["context", count(config.context_length)],
  ];
}

function classes({ classes: names, threshold, config }) {
  const shown = names.slice(0, 10).join(", ");
  return [
    ["classes", names.length > 10 ? `${shown} and ${names.length - 10} more` : shown],
    ["threshold", threshold === null ? null : percent(threshold)],
    ["layers × width", `${config.body.n_layers} × ${config.body.emb_dim}`],
    ["reads", `${count(config.max_tokens)} tokens`],
  ];
}

function heads(config) {
  return config.n_kv_heads === config.n_heads ? String(config.n_heads) : `${config.n_heads}, ${config.n_kv_heads} for keys`;
}

function parts(model) {
  const known = Object.entries(PARTS).filter(([part]) => model.bytes_by_part[part] > 0);
  const bar = known.map(([part]) => {
    const piece = h("span", { class: `part--${part}` });
    piece.style.flexGrow = String(model.bytes_by_part[part]);
    return piece;
  });
  const names = known.map(([part, name]) => {
    const bytes = model.bytes_by_part[part];
    return h("li", { class: `part--${part}` }, `${name} ${size(bytes)} (${percent(bytes / model.memory_bytes)})`);
  });
  return h("div", { class: "parts" }, h("div", { class: "parts__bar", "aria-hidden": "true" }, ...bar), h("ul", { class: "parts__names" }, ...names));
}

function lineage(model) {
  const lines = [];
  if (model.job) {
    lines.push(h("li", {}, "made by ", h("a", { href: `/ui/jobs/${encodeURIComponent(model.job)}` }, model.job), texts(model.datasets)));
  }
  if (model.origin) {
    const { kind, location: place, revision, format, files } = model.origin;
    const where = { folder: "the folder", upload: "an upload of", hub: "the hub's" }[kind];
    lines.push(h("li", {}, `${format} from ${where} `, h("code", {}, place), revision ? ` at ${revision.slice(0, 12)}` : ""));
    lines.push(...files.map((file) => h("li", {}, `${file.name}, ${size(file.bytes)}, sha256 `, h("code", {}, file.sha256.slice(0, 12)))));
  }
  lines.push(
    ...model.ancestors.map((one) =>
      h("li", {}, "goes on from ", h("strong", {}, one.name), ` (${SOURCES[one.source] ?? one.source})`, texts(one.datasets)),
    ),
  );
  lines.push(h("li", {}, "weights' sha256 ", h("code", {}, model.sha256.slice(0, 12))));
  return h("details", {}, h("summary", {}, "Where it comes from"), h("ul", { class: "lineage" }, ...lines));
}

function texts(datasets) {
  if (datasets.length === 0) return "";
  return `, on ${datasets.map((one) => `${one.name ?? one.dataset}${one.sha256 ? ` (sha256 ${one.sha256.slice(0, 12)})` : ""}`).join(", ")}`;
}

function take(model, address) {
  const links = TAKE.slice(0, writes(model) ? TAKE.length : 1).map(([name, path, title]) =>
    h("a", { class: "button button--plain button--small", href: `${address}/${path}`, download: true, title }, name),
  );
  return h("details", {}, h("summary", {}, "Take it elsewhere"), h("div", { class: "model__take" }, ...links));
}

function link(address, label) {
  return h("a", { class: "button button--plain button--small", href: address }, label);
}

function actions(model, act) {
  const button = (what, label, kind) =>
    h("button", { type: "button", class: `button button--small ${kind}`, on: { click: (event) => act(what, model, event.currentTarget) } }, label);
  return h(
    "div",
    { class: "row" },
    writes(model) && model.available && model.state !== "loading"
      ? button(model.state === "loaded" ? "unload" : "load", model.state === "loaded" ? "Take out of memory" : "Load into memory", "button--plain")
      : null,
    writes(model) && model.available ? link(tryAddress(model.name), "Generate") : null,
    writes(model) && model.available ? link(lookAddress(model.name), "Look inside") : null,
    model.source === "builtin" ? null : button("delete", "Delete", "button--bad"),
  );
}

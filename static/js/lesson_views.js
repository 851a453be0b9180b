/** Pictures of what a lesson's request was answered, by name: each takes the answer and hands back nodes. */

import { h } from "./dom.js";
import { compact, count, many, percent } from "./format.js";
import { visible } from "./glyphs.js";
import { bars, chips, curves, heat, table } from "./lesson_pictures.js";

const SHOWN_NUMBERS = 6; // of a vector
const MOST_ROWS = 16;
const SHAPE = ["vocab_size", "context_length", "emb_dim", "n_layers", "n_heads", "tied", "position"];

const numbered = (rows) => rows.map((_, i) => String(i + 1));
const ids = (row) => chips(row.map((id) => [String(id).replace("-", "−"), undefined, id < 0]));
const plain = (texts) => chips(texts.map((text) => [visible(text)]));

export const views = {
  weights: ({ weights }) => weights.map((head, i) => heat(weights.length > 1 ? `Weights of head ${i + 1}` : "Weights", head, numbered(head))),

  attention: ({ attention, tokens, layers, heads }) =>
    attention.data.flatMap((layer, l) => layer.map((head, i) => heat(`Layer ${layers[l]}, head ${heads[i]}`, head, tokens.map((token) => visible(token.text))))),

  next: ({ next, tokens }) => [
    chips(tokens.map(({ text, id }) => [visible(text), id]), "What the model reads"),
    bars("What it expects next", next.at(-1).top.map(({ text, logprob }) => [visible(text), Math.exp(logprob), percent(Math.exp(logprob))])),
  ],

  models: ({ data }) => [table("Models of this machine", ["Name", "#Weights", "Comes from"], data.map((one) => [one.name, compact(one.parameters), origin(one)]))],

  mixture: ({ sources }) => [
    bars(
      "How often each is gone through",
      sources.map(({ name, epochs }) => [name, epochs / Math.max(...sources.map((one) => one.epochs)), `${epochs.toFixed(2)} times`]),
    ),
  ],

  written: ({ choices }) =>
    choices.flatMap(({ text, tokens }) => [
      h("p", { class: "written", dir: "auto" }, text),
      chips(tokens.map((token) => [visible(token.text), percent(Math.exp(token.logprob))]), `${many(tokens.length, "token")}, each with the chance it had`),
    ]),

  pieces: ({ words }) => [plain(words)],

  vocabulary: ({ last }) => [table("The end of the list", ["Word", "#Number"], last.map(({ word, id }) => [visible(word), id]))],

  tokens: ({ tokens }) => [chips(tokens.map(({ text, id }) => [visible(text), id]), many(tokens.length, "token"))],

  merges: ({ words }) =>
    words.map(({ bytes, steps, tokens }) =>
      table("The word after each merge", ["Pieces", "#Merges learnt before"], [
        [plain(bytes.map(({ text }) => text)), ""],
        ...steps.map(({ pieces, rank }) => [plain(pieces.map(({ text }) => text)), count(rank)]),
        [chips(tokens.map(({ text, id }) => [visible(text), id])), many(tokens.length, "token")],
      ]),
    ),

  windows: ({ data }) =>
    data.slice(0, 1).map((batch) =>
      table("The first batch", ["Window", "Input", "Target"], batch.windows.map((window, i) => [`${window}`, plain(batch.input_texts[i]), plain(batch.target_texts[i])])),
    ),

  vectors: ({ ids, texts, vectors, positions, sums }) => [
    rows("Rows of the token table", vectors, (i) => (texts ? [`${ids[i]} `, ...visible(texts[i])] : `${ids[i]}`)),
    ...(positions ? [rows("Rows of the position table", positions.vectors, (i) => `place ${i}`), rows("Both together", sums.vectors, (i) => `${ids[i]} at ${i}`)] : []),
  ],

  bend: ({ values, gelu, relu, shapes }) => [
    curves("What goes in, and what comes out", [
      { name: "GELU", points: values.map((x, i) => [x, gelu[i]]) },
      { name: "ReLU", points: values.map((x, i) => [x, relu[i]]) },
    ]),
    table("Shapes on the way", ["", "Batch, tokens, numbers"], shapes.map((shape, i) => [["in", "widened", "out"][i], shape.join(" × ")])),
  ],

  gradients: ({ without, with_shortcuts: around }) => {
    const sizes = [...without, ...around].filter((size) => size > 0).map(Math.log10);
    const low = Math.floor(Math.min(...sizes));
    const share = (size) => (size > 0 ? (Math.log10(size) - low) / (Math.ceil(Math.max(...sizes)) - low || 1) : 0);
    const drawn = (caption, list) => bars(caption, list.map((size, i) => [`layer ${i + 1}`, share(size), size.toExponential(1)]));
    return [drawn("Without shortcuts, first layer first", without), drawn("With shortcuts", around)];
  },

  stream: ({ norms, tokens, layers }) => {
    const after = [norms.embedding.data.at(-1), ...norms.after_feed_forward.data.map((layer) => layer.at(-1))];
    const name = (i) => (i ? `block ${layers[i - 1] + 1}` : "embedding");
    return [bars(`Length of the vector of “${tokens.at(-1).text}”, after each block`, after.map((size, i) => [name(i), size / Math.max(...after), size.toFixed(1)]))];
  },

  parts: (size) => {
    const parts = [["Token table", size.token_embedding], ["Position table", size.position_embedding], [`${size.blocks} blocks`, size.blocks * size.block], ["Head", size.head]];
    return [bars("Weights by part", parts.map(([name, weights]) => [name, weights / size.parameters, `${count(weights)}, ${percent(weights / size.parameters)}`]))];
  },

  untrained: ({ texts }) => texts.map(({ text }) => h("p", { class: "written", dir: "auto" }, text)),

  guesses: ({ texts }) =>
    texts.map(({ text, guesses }) =>
      table(`“${text}”`, ["Came", "#Chance", "#Minus its logarithm", "Expected"], guesses.map((one) => [visible(one.text), one.probability.toExponential(2), (-one.log).toFixed(4), visible(one.likeliest)])),
    ),

  batch_text: ({ data }) => data.slice(0, 1).flatMap(({ input_texts: texts, windows }) => texts.map((window, i) => captioned(`Window ${windows[i]} of the first batch`, window.join("")))),

  draws: ({ words, distributions }) =>
    distributions.map(({ temperature, probabilities, counts }) =>
      bars(`Temperature ${temperature}: the chance, and how often it was drawn`, words.map((word, i) => [word, probabilities[i], `${probabilities[i] ? percent(probabilities[i]) : "0 %"}, ${count(counts[i])} times`])),
    ),

  model: ({ config, bytes_by_part: parts, parameters, tokenizer }) => {
    const shape = Object.entries(config.body ?? config).filter(([name]) => SHAPE.includes(name));
    const all = Object.values(parts).reduce((sum, bytes) => sum + bytes, 0);
    return [
      table(`${compact(parameters)} weights; tokens by ${tokenizer}`, ["Shape", "#Value"], shape.map(([name, value]) => [name, typeof value === "number" ? count(value) : String(value)])),
      bars("Weights by part", Object.entries(parts).map(([name, bytes]) => [name.replace("_", " "), bytes / all, percent(bytes / all)])),
    ];
  },

  parts_of_rows: ({ train, validation, test }) => [
    table("Each part", ["", "#Messages", ...train.labels.map(({ label }) => `#${label}`), "#Longest", "#Batches"], [["to learn from", train], ["to measure on", validation], ["for the test", test]].map(([name, part]) => [name, ...[part.rows, ...train.labels.map(({ label }) => part.labels.find((one) => one.label === label)?.rows ?? 0), part.longest, part.batches].map(count)])),
  ],

  losses: ({ loss, losses }) => [table(`The mean: ${loss.toFixed(4)}`, ["Row", "#Loss"], losses.map((one, i) => [i + 1, one?.toFixed(4) ?? "does not count"]))],

  accuracies: ({ accuracies, confusion, classes }) => [
    bars("Told rightly", Object.entries(accuracies).map(([part, share]) => [part, share, percent(share)])),
    table("What was told of each class", ["", ...classes.map(({ name }) => `#told ${name}`)], confusion.map((row, i) => [`is ${classes[i].name}`, ...row.map(count)])),
  ],

  verdicts: ({ data }) => data.map(({ label, probabilities, explanation }) => chips(explanation.map(({ text, share }) => [visible(text), signed(share)]), `${label}: ${percent(probabilities[label])}`)),

  collated: ({ inputs, targets }) => [table("The batch", ["Row", "Inputs", "Targets"], inputs.map((row, i) => [i + 1, ids(row), ids(targets[i])]))],

  learnt: ({ examples }) =>
    examples.map(({ line, answer, tokens, total, learnt }) => chips(tokens.map((token) => [visible(token.text), undefined, !token.learnt]), `Row ${line}${answer ? `, ${answer}` : ""}: ${learnt} of ${many(total, "token")} learnt`)),

  neighbours: ({ texts, neighbours }) =>
    neighbours.map((near, i) => bars(`Nearest to “${texts[i]}”`, near.map(({ text, score }) => [visible(text), score, score.toFixed(3)]))),
};

/** A share that may be negative, in hundredths. */
function signed(share) {
  return (share * 100).toFixed(0).replace("-", "−");
}

/** A text under its caption. */
function captioned(caption, text) {
  return h("figure", { class: "captioned" }, h("figcaption", {}, caption), h("pre", { tabindex: "0" }, text));
}

/** The first numbers of some vectors, each named by `name(i)`. */
function rows(caption, vectors, name) {
  const shown = Math.min(vectors[0]?.length ?? 0, SHOWN_NUMBERS);
  const more = vectors[0]?.length > shown ? ["…"] : [];
  const told = `${caption}${more.length ? `: ${shown} of ${count(vectors[0].length)} numbers each` : ""}`;
  const heads = Array.from({ length: shown }, (_, i) => `#${i + 1}`);
  return table(told, ["", ...heads, ...more], vectors.slice(0, MOST_ROWS).map((row, i) => [name(i), ...row.slice(0, shown).map((value) => value.toFixed(4).replace("-", "−")), ...more]));
}

function origin({ source, base_model: base, licence }) {
  if (source === "job") return base ? `a job that went on from ${base}` : "a job, from scratch";
  return `${source === "builtin" ? "ships with Inkling" : "imported"}${licence ? ` (${licence})` : ""}`;
}

/** The book's four stages of attention for one token in one head, with the number of each cell. */

import { byId } from "./dom.js";
import { percent } from "./format.js";
import { plain } from "./glyphs.js";
import { NumberGrid, short } from "./number_grid.js";
import { floats } from "./tensor.js";

const NAME_CHARACTERS = 9;
const VECTORS = { queries: "Queries q", keys: "Keys k", values: "Values v" };
const BETWEEN = ["products", "scores", "masked", "attention"];

export class AttentionStages {
  constructor() {
    const grid = (name, label) => new NumberGrid(byId(`grid-${name}`), label);
    this.input = grid("input", "From the embedding to what this layer reads");
    this.vectors = Object.entries(VECTORS).map(([name, label]) => [name, grid(name, label)]);
    this.products = grid("products", "The query times each key, number by number, and their sum");
    this.weights = grid("weights", "From the score to the weight");
    this.context = grid("context", "Each value times its weight, number by number, and their sum");
  }

  show(head, token) {
    const names = head.tokens.map((one, i) => `${i} ${plain(one.text, NAME_CHARACTERS)}`);
    const own = `“${plain(head.tokens[token].text, 24)}”`;
    this.#showInput(token);
    this.#showVectors(head, token, names);
    this.#showProducts(head, token, names);
    this.#showWeights(head, token, names);
    this.#showContext(head, token, names);
    const [best, share] = strongest(head, token);
    const most = `“${plain(head.tokens[best].text, 24)}”`;
    const root = `√${head.size}`;
    byId("stage-1-note").textContent =
      `Layer ${head.layer} reads each token as a vector; head ${head.head} makes of it a query, a key and a value of ${head.size} numbers.`;
    byId("stage-2-note").textContent =
      `How well the query of ${own} fits each key: the products of their numbers, added up. For ${most}: ${short(head.between("products", token, best))}.`;
    byId("stage-3-note").textContent =
      `Divided by ${root}, tokens that come later struck out, then e to that power (less the largest, m), as shares of their sum: ` +
      `${short(head.between("products", token, best))} ÷ ${root} = ${short(head.between("scores", token, best))}, and ${most} gets ${percent(share)}.`;
    byId("stage-4-note").textContent =
      `What ${own} has read: every value times its weight, added up to ${head.size} numbers. The context vectors of all heads ` +
      "are joined and go through the output matrix, back into the stream.";
  }

  /** Take the vectors that tokens enter with: `embeddings` of POST /inspect, of all of them. */
  readEmbeddings({ token, position, sum }) {
    this.vectorSize = sum.shape[1];
    this.entering = steps(["token", token], ["+ position", position], ["= enters", sum]);
    byId("input-note").textContent = position
      ? "Token and position are a vector each, and their sum enters the first layer."
      : "Positions are no vectors here: they turn queries and keys (rotary), and are in those below already.";
  }

  /** Take what a layer reads: `input` of POST /inspect, of all tokens. */
  readInput({ stream, normed }) {
    this.reading = steps(["at layer", stream], ["normed", normed]);
  }

  #showInput(token) {
    const all = [...this.entering, ...this.reading];
    const rows = all.map(([, numbers]) => numbers.subarray(token * this.vectorSize, (token + 1) * this.vectorSize));
    const most = rows.map((row) => row.reduce((high, value) => Math.max(high, Math.abs(value)), 1e-9));
    this.input.show({
      rows: all.map(([name]) => name),
      columns: Array.from({ length: this.vectorSize }, (_, i) => String(i)),
      value: (row, column) => rows[row][column],
      share: (row, _, value) => value / most[row],
    });
  }

  clear() {
    for (const grid of [this.input, this.products, this.weights, this.context, ...this.vectors.map(([, one]) => one)]) grid.clear();
    for (const id of ["input-note", "stage-1-note", "stage-2-note", "stage-3-note", "stage-4-note"]) byId(id).textContent = "";
  }

  #showVectors(head, token, names) {
    const columns = Array.from({ length: head.size }, (_, i) => String(i));
    for (const [name, grid] of this.vectors) {
      const most = head.most(name);
      const value = (row, column) => head.part(name, row, column);
      grid.show({ rows: names, columns, value, share: (_r, _c, number) => number / most, lit: [token] }, { at: token });
    }
  }

  #showProducts(head, token, names) {
    const part = (row, place) => head.part("queries", token, place) * head.part("keys", row, place);
    let most = 1e-9;
    for (let row = 0; row < head.count; row += 1) {
      for (let place = 0; place < head.size; place += 1) most = Math.max(most, Math.abs(part(row, place)));
    }
    this.products.show({
      rows: names,
      columns: ["Σ = q·k", ...numbered("q·k", head.size)],
      value: (row, column) => (column ? part(row, column - 1) : head.between("products", token, row)),
      share: (_, column, number) => (column ? number / most : 0),
      lit: [token],
    }, { at: token });
  }

  #showWeights(head, token, names) {
    const row = Array.from({ length: head.count }, (_, column) => head.between("masked", token, column));
    const highest = Math.max(...row);
    this.weights.show({
      rows: names,
      columns: ["q·k", `÷ √${head.size}`, "masked", "e^(x−m)", "weight"],
      value: (column, step) => (step === 3 ? Math.exp(row[column] - highest) : head.between(BETWEEN[step === 4 ? 3 : step], token, column)),
      share: (_, step, number) => (step === 4 ? number : 0),
      lit: [token],
    }, { at: token });
  }

  #showContext(head, token, names) {
    const part = (row, place) => head.weight(token, row) * head.part("values", row, place);
    const sum = (place) => head.part("context", token, place);
    const most = Math.max(1e-9, ...Array.from({ length: head.size }, (_, i) => Math.abs(sum(i))));
    this.context.show({
      rows: ["Σ context", ...names],
      columns: ["weight", ...numbered("w·v", head.size)],
      value: (row, column) => {
        if (!column) return row ? head.weight(token, row - 1) : 1;
        return row ? part(row - 1, column - 1) : sum(column - 1);
      },
      share: (_, column, number) => (column ? number / most : 0),
      lit: [0],
    });
  }
}

function steps(...parts) {
  return parts.filter(([, tensor]) => tensor).map(([name, tensor]) => [name, floats(tensor)]);
}

function numbered(name, count) {
  return Array.from({ length: count }, (_, i) => `${name} ${i}`);
}

/** Which token the chosen one takes most from, and how much. */
function strongest(head, token) {
  let best = 0;
  for (let column = 1; column <= token; column += 1) if (head.weight(token, column) > head.weight(token, best)) best = column;
  return [best, head.weight(token, best)];
}

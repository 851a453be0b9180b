/**
 * The engine's arithmetic of a draw, in its order: repetition penalty, temperature, top-k, top-p, min-p, softmax.
 * In float32 where the engine's is, as app/llm/engine/distribution.py has it; a test holds the two against each other.
 */

const f = Math.fround;
const LEAST_TEMPERATURE = 1e-30;

/** Logits with those of `seen` ids made less likely: positive ones divided by the penalty, negative ones multiplied. */
export function penalised(logits, seen, penalty) {
  const changed = Float32Array.from(logits);
  if (penalty !== 1) for (const id of new Set(seen)) changed[id] = changed[id] > 0 ? changed[id] / penalty : changed[id] * penalty;
  return changed;
}

/** All ids, the one of the highest logit first, the lower id first among equals. */
export function ranked(logits) {
  return Uint32Array.from(logits, (_, id) => id).sort((a, b) => logits[b] - logits[a] || a - b);
}

/**
 * What a token is drawn from. `order` is `ranked(logits)`; settings that are undefined are off. Hands back, by id: `shares`
 * after the temperature, `out`, which names the filter that left a token out ("" for those that stay), and `drawn`, the
 * chances of the draw.
 */
export function distribution(logits, order, { temperature = 1, top_k: topK, top_p: topP, min_p: minP } = {}) {
  const best = logits[order[0]];
  const divisor = f(Math.max(temperature, LEAST_TEMPERATURE));
  const scaled = logits.map((logit) => f(f(logit - best) / divisor));
  const out = new Array(logits.length).fill("");
  const cut = (id, name) => (out[id] ||= name);
  if (topK !== undefined && topK < logits.length) {
    const least = scaled[order[topK - 1]];
    for (const id of order) if (scaled[id] < least) cut(id, "top k");
  }
  if (topP !== undefined && topP < 1) {
    const left = softmax(scaled, out);
    let sum = 0; // of float64, as PyTorch adds up
    for (const id of order) {
      const share = f(left[id]);
      sum += share;
      if (f(f(sum) - share) >= topP) cut(id, "top p");
    }
  }
  if (minP) for (const id of order) if (scaled[id] < f(Math.log(minP))) cut(id, "min p");
  if (temperature === 0) for (const id of order) if (id !== order[0]) cut(id, "temperature 0");
  return { shares: softmax(scaled), out, drawn: softmax(scaled, out) };
}

/** Shares of those that are not `out`; `scaled` is at most 0. */
function softmax(scaled, out = null) {
  let sum = 0;
  const shares = Float64Array.from(scaled, (value, id) => {
    const share = out?.[id] ? 0 : Math.exp(value);
    sum += share;
    return share;
  });
  return shares.map((share) => share / sum);
}

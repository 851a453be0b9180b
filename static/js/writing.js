/** A text as it is written into a view: waiting, first token, the end in words. */

import { count, many } from "./format.js";
import { generate } from "./generation_stream.js";

const SLOW_MS = 3000;
const ENDINGS = {
  stop: "The model ended the text",
  length: "Stopped at the number of tokens asked for",
  abort: "The server stopped early",
  stopped: "Stopped by you; what arrived is kept",
  broken: "The connection ended before the text did; what arrived is kept",
};

/**
 * Write what `body` asks for into `view`, behind `prompt` (null: not shown) and the tokens `kept`. `tell` hears how far it is,
 * `onOther(token, index)` of the tokens of further choices, `onBegun` of what was begun. Hands back the ending as
 * `generate` does, with `reason` of the first choice and `words`. Throws what `generate` throws.
 */
export async function write(body, view, { signal, prompt = null, kept = [], tell, onOther, onBegun }) {
  const started = performance.now();
  let first = null;
  view.begin(prompt, kept);
  tell("Waiting for the first token …");
  const slow = setTimeout(() => tell("Waiting for the first token; the model may still be loading …"), SLOW_MS);
  try {
    const take = (token, index) => {
      clearTimeout(slow);
      if (first === null) tell("Writing …");
      first ??= performance.now();
      if (index === 0) view.push(token);
      else onOther?.(token, index);
    };
    const ending = await generate(body, signal, take, onBegun);
    const reason = ending.reasons[0] ?? ending.cut;
    return { ...ending, reason, words: inWords(reason, ending.usage, view.tokens.length - kept.length, started, first) };
  } finally {
    clearTimeout(slow);
    view.end();
  }
}

/** How a kept text ended. */
export function endingOf(reason) {
  return ENDINGS[reason] ?? `Ended: ${reason}`;
}

function inWords(reason, usage, tokens, started, first) {
  const parts = [endingOf(reason)];
  if (usage) parts.push(`${count(usage.prompt_tokens)} prompt + ${many(usage.completion_tokens, "new token")}`);
  else parts.push(many(tokens, "token"));
  if (first !== null) {
    const seconds = (performance.now() - first) / 1000;
    parts.push(`first after ${((first - started) / 1000).toFixed(1)} s`);
    if (tokens > 1 && seconds > 0) parts.push(`${((tokens - 1) / seconds).toFixed(1)} tokens a second`);
  }
  return parts.join(" · ");
}

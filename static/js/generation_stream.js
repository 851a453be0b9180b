/** One streamed generation: from a request body to tokens, and an ending that says how it ended. */

import { open, Refusal } from "./api.js";
import { ConnectionLost, events } from "./sse.js";

/**
 * Ask for a stream and call `onToken(token, index)` for each token of a choice, and `onBegun` with what a text that begins
 * with tokens begins with. Hands back {reasons, cut, usage, seed}: why each choice ended, and of those that did not, `cut`:
 * "stopped" where `signal` ended it, "broken" where the connection did. Throws a Refusal where the server refuses, before
 * the first token or in mid-stream.
 */
export async function generate(body, signal, onToken, onBegun = () => {}) {
  const ending = { reasons: [], cut: "broken", usage: null, seed: body.seed ?? null };
  try {
    const response = await open("/generate", { method: "POST", body, signal });
    for await (const { data } of events(response)) {
      if (data === "[DONE]") break;
      const event = JSON.parse(data);
      if (event.error) throw new Refusal(event.error.message, event.error);
      if (event.begun) onBegun(event.begun);
      if (event.token) onToken(event.token, event.index);
      if (event.finish_reason) ending.reasons[event.index] = event.finish_reason;
      ending.usage = event.usage ?? ending.usage;
      ending.seed = event.seed ?? ending.seed;
    }
  } catch (error) {
    if (error.name === "AbortError") ending.cut = "stopped";
    else if (!(error instanceof ConnectionLost)) throw error;
  }
  return ending;
}

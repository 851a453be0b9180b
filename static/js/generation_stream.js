/** One streamed generation: from a request body to tokens, and an ending that says how it ended. */

import { open, Refusal } from "./api.js";
import { ConnectionLost, events } from "./sse.js";

/**
 * Ask for a stream and call `onToken` for each token. Hands back {finishReason, usage, seed}; finishReason is
 * "stopped" where `signal` ended it and "broken" where the connection did. Throws a Refusal where the server
 * refuses, before the first token or in mid-stream.
 */
export async function generate(body, signal, onToken) {
  const ending = { finishReason: "broken", usage: null, seed: null };
  try {
    const response = await open("/generate", { method: "POST", body, signal });
    for await (const { data } of events(response)) {
      if (data === "[DONE]") break;
      take(JSON.parse(data), ending, onToken);
    }
  } catch (error) {
    if (error.name === "AbortError") return { ...ending, finishReason: "stopped" };
    if (!(error instanceof ConnectionLost)) throw error;
  }
  return ending;
}

function take(event, ending, onToken) {
  if (event.error) throw new Refusal(event.error.message, event.error);
  if (event.token) onToken(event.token);
  ending.finishReason = event.finish_reason ?? ending.finishReason;
  ending.usage = event.usage ?? ending.usage;
  ending.seed = event.seed ?? ending.seed;
}

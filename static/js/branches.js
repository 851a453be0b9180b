/** Texts kept on the server, each as it leaves another one. */

import { call } from "./api.js";

const DRAWN = ["max_new_tokens", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "stop", "seed"];

/** The address of a kept text on this page. */
export function addressOf(id) {
  return `${location.pathname}?branch=${encodeURIComponent(id)}`;
}

/**
 * Keep a line: `{asked, model, settings, tokens, reason, parent, at}`, whose tokens from `at` on are its own; without `parent`
 * it is the first of a tree. One that is too long is kept without its alternatives, one whose parent is gone by itself.
 */
export async function keep(line) {
  const { asked, model, settings, tokens, reason, parent = null, at = 0 } = line;
  const sampling = Object.fromEntries(DRAWN.filter((name) => name in settings).map((name) => [name, settings[name]]));
  const place = parent === null ? asked : { parent, at };
  const body = { ...place, model, sampling, tokens: parent === null ? tokens : tokens.slice(at), finish_reason: reason };
  try {
    return await call("/branches", { method: "POST", body });
  } catch (error) {
    if (error.code === "branch_not_found" && parent !== null) return keep({ ...line, parent: null });
    if (error.code !== "too_large" || !tokens.some(({ top }) => top.length)) throw error;
    return keep({ ...line, tokens: tokens.map((token) => ({ ...token, top: [] })) });
  }
}

/** A kept text as a line of this page. */
export async function open(id) {
  const kept = await call(`/branches/${encodeURIComponent(id)}`);
  const settings = Object.fromEntries(Object.entries(kept.sampling).filter(([, value]) => value !== null && value?.length !== 0));
  const asked = kept.messages ? { messages: kept.messages } : { prompt: kept.prompt };
  return { asked, settings, model: kept.model, tokens: kept.tokens, reason: kept.finish_reason, branch: kept.id, tree: kept.tree, at: kept.at };
}

export function remove(id) {
  return call(`/branches/${encodeURIComponent(id)}`, { method: "DELETE" });
}

/** Calls to this server. Every refusal comes back as one kind of error, with words for a person. */

export class Refusal extends Error {
  constructor(message, { code = "", status = 0, param = null, retryAfter = null } = {}) {
    super(message);
    this.code = code;
    this.status = status;
    this.param = param;
    this.retryAfter = retryAfter;
  }
}

/** What an answer that is none of 2xx says. */
export async function refusalOf(response) {
  const retryAfter = Number(response.headers.get("retry-after")) || null;
  const known = { status: response.status, retryAfter };
  try {
    const { error } = await response.json();
    return new Refusal(error.message, { ...known, code: error.code, param: error.param });
  } catch {
    return new Refusal(`The server answered ${response.status} ${response.statusText}`, known);
  }
}

/** The header that tells a page's request from another site's, where one is signed in. */
export function fromAPage() {
  const meta = document.querySelector("meta[name=csrf-token]");
  return meta ? { "x-csrf-token": meta.content } : {};
}

/**
 * Ask the server and hand back the raw answer, its body unread. `body` is sent as JSON, `form` as it is.
 * Throws a Refusal for every answer that is none of 2xx, and where the server cannot be reached.
 */
export async function open(path, { method = "GET", body, form, signal, headers = {} } = {}) {
  const request = { method, signal, headers: { ...fromAPage(), ...headers }, body: form };
  if (body !== undefined) {
    request.headers["content-type"] = "application/json";
    request.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, request);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("The server cannot be reached. Is it still running?", { code: "unreachable" });
  }
  if (!response.ok) throw await refusalOf(response);
  return response;
}

/** As `open`, but read as JSON. */
export async function call(path, request) {
  return (await open(path, request)).json();
}

/** All rows of a list that comes in pages; `key` names the field that the next page starts after. */
export async function all(path, { key = "id", limit = 1000, most = 50 } = {}) {
  const rows = [];
  for (let page = 0, after = ""; page < most; page += 1) {
    const join = path.includes("?") ? "&" : "?";
    const answer = await call(`${path}${join}limit=${limit}${after === "" ? "" : `&after=${encodeURIComponent(after)}`}`);
    rows.push(...answer.data);
    if (!answer.has_more || answer.data.length === 0) break;
    after = answer.data.at(-1)[key];
  }
  return rows;
}

/** What went wrong, in words that say what can be done. */
export function inWords(error) {
  if (!(error instanceof Refusal)) return `Something broke on this page: ${error.message}`;
  return sentence(error.message) + (error.retryAfter ? `\nTry again in ${error.retryAfter} s.` : "");
}

/** A message of the server as a sentence; the name of a field at its start stays as it is written. */
export function sentence(message) {
  const begun = /^[\w.]+:/.test(message) ? message : message.charAt(0).toUpperCase() + message.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}

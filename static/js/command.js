/** The equal curl command of a request, and the buttons that copy. */

import { byId } from "./dom.js";

/** `text` as one word of a shell. */
export function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** A curl command that sends `body` to `path` of this server; `-N` where the answer is streamed. */
export function curl(path, body) {
  const flags = body.stream ? "-sN" : "-s";
  return `curl ${flags} ${location.origin}${path} \\\n  -H 'content-type: application/json' \\\n  -d ${quoted(JSON.stringify(body))}`;
}

/** Copy `text` and say so on the button for a moment. Where the browser forbids it, say that. */
export async function copy(text, button) {
  const label = button.dataset.label ?? button.textContent;
  button.dataset.label = label;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not allowed here";
  }
  setTimeout(() => {
    button.textContent = label;
  }, 1500);
}

/** Let every button with `data-copy` copy the text of the element that it names. */
export function installCopyButtons() {
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", () => copy(byId(button.dataset.copy).textContent, button));
  }
}

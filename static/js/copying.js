/** Buttons that copy a text. */

import { byId } from "./dom.js";

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

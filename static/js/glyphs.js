/** Making text visible: spaces, line ends, and characters that have no shape of their own. */

import { h } from "./dom.js";

const SPACES = { " ": "·", "\u00a0": "⍽", "\t": "⇥\t", "\n": "⏎", "\r": "␍" };
// Invisible or shape-shifting alone: controls, formats, separators, variation selectors, the replacement character.
const SHAPELESS = /^[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Zs}\p{Co}\p{Cn}\ufe00-\ufe0f\ufffd]$/u;

export function codePoint(character) {
  return `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
}

/** Nodes that show `text`; a line end is followed by a real one where `breaks` is set. */
export function visible(text, { breaks = false } = {}) {
  const nodes = [];
  let plain = "";
  const flush = () => {
    if (plain) nodes.push(plain);
    plain = "";
  };
  const characters = [...text];
  characters.forEach((character, place) => {
    const joins = character === "\u200d" && place > 0 && place < characters.length - 1; // within an emoji
    if (character in SPACES) {
      flush();
      nodes.push(h("span", { class: "mark mark--space" }, SPACES[character]));
      if (breaks && character === "\n") nodes.push(h("br"));
    } else if (SHAPELESS.test(character) && !joins && !(place > 0 && /[\ufe00-\ufe0f]/.test(character))) {
      flush();
      nodes.push(h("span", { class: "mark mark--code" }, codePoint(character)));
    } else {
      plain += character;
    }
  });
  flush();
  return nodes;
}

export function hex(bytes) {
  return bytes.map((byte) => byte.toString(16).toUpperCase().padStart(2, "0")).join(" ");
}

/** `text` on one line without nodes, for canvases and labels; cut behind `most` characters. */
export function plain(text, most = Infinity) {
  const characters = [...text].map((character) => (SHAPELESS.test(character) || character in SPACES ? (SPACES[character]?.[0] ?? codePoint(character)) : character));
  return characters.length > most ? `${characters.slice(0, most - 1).join("")}…` : characters.join("");
}

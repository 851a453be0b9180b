/** One token as a chip, an id, a list of facts. Knows nothing of where tokens come from, and of no other. */

import { h, facts } from "./dom.js";
import { count, many } from "./format.js";
import { codePoint, hex, plain, visible } from "./glyphs.js";

const INKS = 6;

export function ink(i) {
  return `ink-${(i % INKS) + 1}`;
}

/** Runs of tokens whose spans overlap: one token, or the tokens that a character was cut into. */
export function groupsOf(tokens) {
  const groups = [];
  tokens.forEach((token, i) => {
    const last = groups.at(-1);
    if (last && token.start < last.end) {
      last.members.push(i);
      last.end = Math.max(last.end, token.end);
    } else {
      groups.push({ start: token.start, end: token.end, members: [i] });
    }
  });
  return groups;
}

/** `list` is the listbox that it is an option of; of this only a part may be in the page. */
function option(i, name, token, text, list, ...content) {
  return h(
    "span",
    {
      class: `${name} ${ink(i)}${token.special ? ` ${name}--special` : ""}`,
      role: "option",
      id: `${list.id}-${i}`,
      "aria-selected": "false",
      "aria-posinset": i + 1,
      "aria-label": `${plain(text)}, id ${token.id}`,
      data: { i },
    },
    ...content,
  );
}

/** A token as a chip. */
export function chip(i, token, text, list) {
  return option(i, "token", token, text, list, ...visible(text));
}

/** Tokens that share characters: these once, the bytes of each token under them. */
export function split(group, tokens, text, list) {
  const pieces = group.members.map((i, part) =>
    option(i, "piece", tokens[i], `${hex(tokens[i].bytes)}, part ${part + 1} of ${group.members.length} of ${text}`, list, hex(tokens[i].bytes)),
  );
  return h(
    "span",
    { class: "split", role: "group", "aria-label": `${text}, cut into ${pieces.length} tokens` },
    h("span", { class: "split__text" }, ...visible(text)),
    h("span", { class: "split__pieces" }, ...pieces),
  );
}

export function idItem(i, token, list) {
  return option(i, "id", token, `token ${i + 1}`, list, String(token.id));
}

/** Everything that is known of one token, for the readout; `entry` is its line in the vocabulary, once it is there. */
export function readout(i, tokens, group, characters, entry) {
  const token = tokens[i];
  const text = characters.slice(token.start, token.end).join("");
  const points = [...text];
  const part = group.members.indexOf(i);
  return [
    h("div", { class: "readout__text" }, ...visible(text)),
    facts([
      ["token", `${count(i + 1)} of ${count(tokens.length)}`],
      ["id", String(token.id)],
      ["bytes", `${hex(token.bytes.slice(0, 32))}${token.bytes.length > 32 ? " …" : ""}`],
      ["", `(${many(token.bytes.length, "byte")})`],
      ["characters", `${token.start}–${token.end}`],
      ["code points", points.length <= 4 ? points.map(codePoint).join(" ") : null],
      ["rank", entry && rankOf(entry, token)],
      ["merged from ids", entry?.merged_from?.join(" + ")],
      ["special", token.special ? "yes" : null],
      ["shared", group.members.length > 1 ? `part ${part + 1} of ${group.members.length} of ${text}` : null],
    ]),
  ];
}

function rankOf(entry, token) {
  if (entry.rank !== null) return `${count(entry.rank)}: so many merges were learnt before`;
  return token.special || token.bytes.length > 1 ? null : "none: a byte is there from the start";
}

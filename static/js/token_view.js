/** Draws the tokens of a text as coloured chips, and their ids. Knows nothing of where they come from. */

import { h, facts } from "./dom.js";
import { count, many } from "./format.js";
import { codePoint, hex, visible } from "./glyphs.js";

const INKS = 6;

function ink(i) {
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

function option(i, name, token, text, ...content) {
  return h(
    "span",
    {
      class: `${name} ${ink(i)}${token.special ? ` ${name}--special` : ""}`,
      role: "option",
      tabindex: "-1",
      "aria-selected": "false",
      "aria-label": `${text}, id ${token.id}`,
      data: { i },
    },
    ...content,
  );
}

function chip(i, token, text) {
  return option(i, "token", token, text, ...visible(text));
}

function split(group, tokens, text) {
  const pieces = group.members.map((i, part) =>
    option(i, "piece", tokens[i], `part ${part + 1} of ${group.members.length} of ${text}`, hex(tokens[i].bytes)),
  );
  return h(
    "span",
    { class: "split", role: "group", "aria-label": `${text}, cut into ${pieces.length} tokens` },
    h("span", { class: "split__text" }, ...visible(text)),
    h("span", { class: "split__pieces" }, ...pieces),
  );
}

/** Chips for the groups; `characters` are the code points of the text, for spans count these. */
export function chips(groups, tokens, characters) {
  const nodes = [];
  let end = groups.length ? 0 : characters.length;
  for (const group of groups) {
    if (group.start > end) nodes.push(...visible(characters.slice(end, group.start).join(""), { breaks: true }));
    const text = characters.slice(group.start, group.end).join("");
    nodes.push(group.members.length > 1 ? split(group, tokens, text) : chip(group.members[0], tokens[group.members[0]], text));
    for (const character of text) if (character === "\n") nodes.push(h("br"));
    end = group.end;
  }
  return nodes;
}

export function idItems(tokens, shown) {
  return tokens
    .slice(0, shown)
    .map((token, i) => option(i, "id", token, `token ${i + 1}`, String(token.id)))
    .flatMap((item) => [item, " "]);
}

/** Everything that is known of one token, for the readout. */
export function readout(i, tokens, group, characters) {
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
      ["special", token.special ? "yes" : null],
      ["shared", group.members.length > 1 ? `part ${part + 1} of ${group.members.length} of ${text}` : null],
    ]),
  ];
}

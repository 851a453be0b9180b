/** Breaks the tokens of a text into lines as wide as their place, by measuring; knows no elements. */

import { plain } from "./glyphs.js";

const PADDING = 7; // of a chip, with its margin; as in text_tokens.css
const PIECE = 22; // of a byte under a character that was cut
const SLACK = 12; // what is drawn may be wider than it measures

/**
 * Lines of segments `{ group, from, to, gap }`: the characters of a group of tokens that stand in a line, and the text
 * before them that is no token's. A group is in one line, but for a single token that is wider than any.
 */
export function linesOf(groups, tokens, characters, width, font) {
  const lines = [];
  let [line, x, end] = [[], 0, 0];
  const measure = measuring(font);
  const next = () => {
    if (line.length) lines.push(line);
    [line, x] = [[], 0];
  };
  groups.forEach((group, index) => {
    const gap = characters.slice(end, group.start).join("");
    if (gap.includes("\n")) next();
    const text = characters.slice(group.start, group.end).join("");
    const wide = widthOf(group, tokens, text, measure);
    const before = gap ? measure(plain(gap)) : 0;
    if (x + before + wide > width - SLACK) next();
    if (wide > width - SLACK && group.members.length === 1) {
      for (const [from, to] of cuts(group, characters, width - SLACK - PADDING, measure)) {
        lines.push([{ group: index, from, to, gap: from === group.start ? gap : "" }]);
      }
    } else {
      line.push({ group: index, from: group.start, to: group.end, gap });
      x += before + wide;
      if (text.includes("\n")) next();
    }
    end = group.end;
  });
  next();
  return lines;
}

function measuring(font) {
  const pen = document.createElement("canvas").getContext("2d");
  pen.font = font;
  const known = new Map(); // a text has few different tokens
  return (text) => {
    if (!known.has(text)) known.set(text, pen.measureText(text).width);
    return known.get(text);
  };
}

function widthOf(group, tokens, text, measure) {
  const own = measure(plain(text)) + PADDING;
  if (group.members.length === 1) return own;
  return Math.max(own, group.members.reduce((sum, i) => sum + tokens[i].bytes.length * PIECE, 0)) + PADDING;
}

/** The ranges of a token's characters that fit a line each. */
function* cuts(group, characters, width, measure) {
  let [from, x] = [group.start, 0];
  for (let place = group.start; place < group.end; place += 1) {
    const wide = measure(plain(characters[place]));
    if (x + wide > width && place > from) {
      yield [from, place];
      [from, x] = [place, 0];
    }
    x += wide;
  }
  yield [from, group.end];
}

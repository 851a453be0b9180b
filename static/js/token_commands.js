/** The request for tokens as commands: curl, Python without any package, and `inkling`. */

import { curl, python, quoted } from "./command.js";

const MOST = 100_000; // characters; a shell takes no argument of 128 KiB
const TOO_LONG = "The text is too long for a command line: put it into a file, as curl's -d @request.json reads it.";
const PRINTED = ['for token in json.load(answer)["tokens"]:', '    print(token["id"], repr(token["text"]))'];

export function commands(body) {
  if (body.text.length > MOST) return { curl: TOO_LONG, python: TOO_LONG, inkling: TOO_LONG };
  return { curl: curl("/tokenize", body), python: python("/tokenize", body, ...PRINTED), inkling: inkling(body) };
}

function inkling({ text, tokenizer, specials }) {
  const flags = specials === "parse" ? " --parse" : "";
  return `inkling tokenize --tokenizer ${quoted(tokenizer)}${flags} --url ${location.origin} -- ${quoted(text)}`;
}

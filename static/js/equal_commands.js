/** A request as a command: curl, Python without any package, and `inkling`. */

import { curl, python, quoted } from "./command.js";

const HOMES = ["127.0.0.1:8000", "localhost:8000"]; // what `inkling` calls by itself
const FLAGS = { model: "--model", max_new_tokens: "--max-new-tokens", temperature: "--temperature", seed: "--seed" };
const PRINTED = ['for choice in json.load(answer)["choices"]:', '    print(choice["text"])'];
const MOST = 100_000; // characters; a shell takes no argument of 128 KiB

/** The command in a language of "curl", "python" and "inkling" that asks for the same as `body`, streamed or not. */
export function equalCommand(language, body) {
  if (JSON.stringify(body).length > MOST) return "# The text is too long for a command line: put the request into a file, and send it with curl -d @request.json";
  return { curl: () => curl("/generate", { ...body, stream: true }), python: () => python("/generate", body, ...PRINTED), inkling: () => inkling(body) }[language]();
}

function inkling({ prompt, messages, ...settings }) {
  const words = [];
  for (const [name, value] of Object.entries(settings)) {
    const written = typeof value === "string" ? value : JSON.stringify(value);
    words.push(FLAGS[name] ? `${FLAGS[name]} ${quoted(written)}` : `--set ${quoted(`${name}=${JSON.stringify(value)}`)}`);
  }
  if (messages) {
    words.push("--chat");
    if (messages.length > 1) words.push(`--before ${quoted(JSON.stringify(messages.slice(0, -1)))}`);
  }
  if (!HOMES.includes(location.host)) words.push(`--url ${location.origin}`);
  return ["inkling generate", ...words, `-- ${quoted(prompt ?? messages.at(-1).content)}`].join(" \\\n  ");
}

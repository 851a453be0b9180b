/** The equal commands of a request, for a shell and for Python. */

/** `text` as one word of a shell. */
export function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/**
 * A curl command that sends `body` to `path` of this server; `-N` where the answer is streamed. Where a value is the name
 * of one of the shell's `variables`, as `$NAME`, the shell puts it in.
 */
export function curl(path, body, variables = []) {
  const flags = body.stream ? "-sN" : "-s";
  const sent = variables.reduce((text, name) => text.replaceAll(`"$${name}"`, () => `"'"$${name}"'"`), quoted(JSON.stringify(body)));
  return `curl ${flags} ${location.origin}${path} \\\n  -H 'content-type: application/json' \\\n  -d ${sent}`;
}

/** Python without any package that sends `body` to `path`; `lines` say what becomes of `json.load(answer)`. */
export function python(path, body, ...lines) {
  const fields = Object.entries(body).map(([name, value]) => `    ${JSON.stringify(name)}: ${literal(value)},\n`);
  return `import json
from urllib.request import Request, urlopen

body = {
${fields.join("")}}
request = Request("${location.origin}${path}", json.dumps(body).encode(), {"content-type": "application/json"})
with urlopen(request) as answer:
    ${lines.join("\n    ")}
`;
}

/** A value of JSON as Python writes it. */
function literal(value) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value !== "object") return JSON.stringify(value);
  return `{${Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}: ${literal(one)}`).join(", ")}}`;
}

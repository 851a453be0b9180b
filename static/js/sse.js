/** Server-sent events of one answer to fetch. EventSource cannot POST, nor say why it was refused. */

/** The connection broke in mid-stream; what came before is good. */
export class ConnectionLost extends Error {}

/** The events of the answer, each {type, id, data}; comments (keep-alives) are passed over. */
export async function* events(response) {
  let event = { type: "message", id: null, data: [] };
  for await (const line of lines(response.body)) {
    if (line === "") {
      if (event.data.length) yield { ...event, data: event.data.join("\n") };
      event = { type: "message", id: null, data: [] };
      continue;
    }
    const colon = line.indexOf(":");
    if (colon === 0) continue;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") event.data.push(value);
    else if (field === "event") event.type = value;
    else if (field === "id") event.id = value;
  }
}

async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read().catch((error) => {
        throw error.name === "AbortError" ? error : new ConnectionLost(error.message);
      });
      if (done) return;
      const parts = (rest + value).split(/\r\n|\n|\r(?!$)/);
      rest = parts.pop();
      yield* parts;
    }
  } finally {
    reader.cancel().catch(() => {}); // the other end may be gone already, which is what is wanted
  }
}

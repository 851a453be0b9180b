/** Follows the events of one job to its end, over any number of broken connections. */

import { call, open, Refusal } from "./api.js";
import { isFinal } from "./job_status.js";
import { ConnectionLost, events } from "./sse.js";

const PAUSES_MS = [500, 1000, 2000, 4000, 8000];

function pause(ms) {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

/**
 * Call `onEvent` with each event of the job after the one with id `since`, oldest first, once. `onLost(error)` is called when the connection
 * broke, and with null when it is there again. Hands back the job when its state is final.
 */
export async function follow(jobId, since, onEvent, onLost) {
  const path = `/jobs/${encodeURIComponent(jobId)}`;
  let last = since;
  for (let failures = 0; ; ) {
    try {
      const headers = { accept: "text/event-stream", ...(last === null ? {} : { "last-event-id": last }) };
      const response = await open(`${path}/events`, { headers });
      onLost(null);
      for await (const event of events(response)) {
        failures = 0;
        if (event.data === "[DONE]") continue;
        last = event.id ?? last;
        onEvent(JSON.parse(event.data));
      }
      const job = await call(path);
      if (isFinal(job)) return job;
    } catch (error) {
      const passes = error instanceof ConnectionLost || (error instanceof Refusal && (error.status >= 500 || !error.status));
      if (!passes) throw error;
      onLost(error);
    }
    await pause(PAUSES_MS[Math.min(failures, PAUSES_MS.length - 1)]);
    failures += 1;
  }
}

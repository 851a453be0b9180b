/** The page of all jobs: the list, kept fresh while something is under way. */

import { call, inWords } from "./api.js";
import { byId, h, say } from "./dom.js";
import { moment } from "./format.js";
import { badge, isFinal, steps } from "./job_status.js";

const EVERY_MS = 2500;
const PAGE = 20;

class JobList {
  constructor() {
    this.pages = 1;
    byId("list-more").addEventListener("click", () => {
      this.pages += 1;
      this.refresh();
    });
    byId("list-status").addEventListener("change", () => {
      this.pages = 1;
      this.refresh();
    });
    document.addEventListener("visibilitychange", () => document.hidden || this.refresh());
  }

  /** Fetch the list and draw it; again soon while a job is queued or running and the page is seen. */
  async refresh() {
    clearTimeout(this.timer);
    let isLive = true;
    const wanted = byId("list-status").value;
    try {
      const { data, has_more: hasMore } = await call(`/jobs?limit=${PAGE * this.pages}${wanted && `&${wanted}`}`);
      if (wanted !== byId("list-status").value) return; // another choice was made meanwhile, and is on its way
      say(byId("list-error"), "");
      this.#draw(data, hasMore);
      isLive = data.some((job) => !isFinal(job) && job.status !== "paused");
    } catch (error) {
      say(byId("list-error"), inWords(error));
      byId("list-empty").hidden = true;
    }
    if (isLive && !document.hidden) this.timer = setTimeout(() => this.refresh(), EVERY_MS);
  }

  #draw(jobs, hasMore) {
    byId("list-empty").hidden = jobs.length > 0;
    byId("list-empty").textContent = byId("list-status").value ? "None of these." : "No job yet. The built-in story and the smallest size take a minute or two.";
    byId("list-table").hidden = jobs.length === 0;
    byId("list-more").hidden = !hasMore;
    byId("list").replaceChildren(...jobs.map(row));
  }
}

function row(job) {
  const bar = h("progress", { max: "1", "aria-label": `Steps of ${job.name}` });
  bar.value = job.total_steps ? job.step / job.total_steps : 0;
  const from = typeof job.model === "string" ? `${job.recipe === "evaluate" ? "" : "continues "}${job.model}` : (job.model.preset ?? (job.recipe === "word2vec" ? "word vectors" : "own shape"));
  return h(
    "tr",
    {},
    h("td", {}, h("a", { href: `/ui/jobs/${encodeURIComponent(job.id)}` }, job.name), h("span", { class: "note" }, `${job.recipe}: ${from}`)),
    h("td", {}, badge(job.status)),
    h("td", { class: "steps" }, h("span", { class: "note" }, steps(job)), isFinal(job) ? null : bar),
    h("td", { class: "when" }, h("span", { class: "note" }, moment(job.created_at))),
  );
}

await new JobList().refresh();

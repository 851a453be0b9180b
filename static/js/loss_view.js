/** How the loss is looked at: smoothed or as it was, on a scale of powers, other jobs' curves over this one's. The address keeps it. */

import { asked, rememberBeside } from "./address.js";
import { call, inWords } from "./api.js";
import { byId, h, say } from "./dom.js";
import { isFinal } from "./job_status.js";

const MOST_OTHERS = 4; // as many inks as are left
const POINTS = 400;
const AGAIN_MS = 5000;
const OFFERED = 100;

export class LossView {
  /** `chart` draws; `own` is the id of this page's job. */
  constructor(chart, own) {
    Object.assign(this, { chart, own, others: new Map() }); // by id, in the order of their inks
    const given = asked();
    byId("smooth").value = given.get("smooth") ?? 0;
    byId("log-loss").checked = given.get("scale") === "log";
    byId("smooth").addEventListener("input", () => this.#changed());
    byId("log-loss").addEventListener("change", () => this.#changed());
    byId("over").addEventListener("change", () => this.#take(byId("over").value));
    this.#draw();
    this.#offer();
    this.#takeAll((given.get("with") ?? "").split(",").filter(Boolean).slice(0, MOST_OTHERS));
  }

  async #takeAll(ids) {
    for (const id of ids) await this.#take(id);
  }

  /** Put the curve of another job over this one's, and follow it as long as it runs. */
  async #take(id) {
    byId("over").value = "";
    if (!id || id === this.own || this.others.has(id)) return;
    try {
      await this.#fetch(id);
      say(byId("over-error"), "");
    } catch (error) {
      say(byId("over-error"), inWords(error));
    }
    this.#changed();
  }

  async #fetch(id) {
    const path = `/jobs/${encodeURIComponent(id)}`;
    const [job, { data }] = await Promise.all([call(path), call(`${path}/metrics?points=${POINTS}`)]);
    this.others.set(id, { id, name: job.name, rows: data });
    if (!isFinal(job)) setTimeout(() => this.#again(id), AGAIN_MS);
  }

  async #again(id) {
    if (!this.others.has(id)) return; // it was taken away meanwhile
    try {
      await this.#fetch(id);
      this.#draw();
    } catch {
      setTimeout(() => this.#again(id), AGAIN_MS); // what is drawn stays, and the page says itself that the server is away
    }
  }

  async #offer() {
    try {
      const { data } = await call(`/jobs?limit=${OFFERED}`);
      const alike = data.filter((job) => job.id !== this.own && job.recipe !== "evaluate");
      byId("over").append(...alike.map((job) => h("option", { value: job.id }, `${job.name} (${job.status})`)));
      byId("over").disabled = alike.length === 0;
    } catch (error) {
      say(byId("over-error"), inWords(error));
    }
  }

  #changed() {
    const smooth = byId("smooth").valueAsNumber;
    rememberBeside({ smooth: smooth || "", scale: byId("log-loss").checked ? "log" : "", with: [...this.others.keys()].join(",") });
    this.#draw();
  }

  #draw() {
    const smooth = byId("smooth").valueAsNumber;
    byId("smooth-value").textContent = smooth ? smooth.toFixed(2) : "off";
    const others = [...this.others.values()];
    byId("over-jobs").replaceChildren(...others.map((other, place) => this.#chip(other, place)));
    byId("over").parentElement.hidden = others.length === MOST_OTHERS;
    this.chart.look({ smooth, isLog: byId("log-loss").checked, others });
  }

  #chip({ id, name }, place) {
    const away = () => {
      this.others.delete(id);
      this.#changed();
      byId("over").focus();
    };
    return h(
      "li",
      { class: `over-job over-job--${place + 1}` },
      h("a", { href: `/ui/jobs/${encodeURIComponent(id)}` }, name),
      h("button", { type: "button", class: "button button--plain button--small", "aria-label": `Take ${name} away`, on: { click: away } }, "✕"),
    );
  }
}

/** How the loss is looked at: smoothed, on a scale of powers, other jobs' curves over this one's. The address keeps it. */

import { asked, rememberBeside } from "./address.js";
import { call, inWords } from "./api.js";
import { byId, h, say } from "./dom.js";
import { isFinal } from "./job_status.js";

const MOST_OTHERS = 4; // as many inks as are left
const AGAIN_MS = 5000;

export class LossView {
  /** `chart` draws; `own` is the id of this page's job. */
  constructor(chart, own) {
    Object.assign(this, { chart, own, others: new Map() }); // by id, in the order of their inks
    const given = asked();
    byId("smooth").value = given.get("smooth") ?? 0;
    byId("log-loss").checked = given.get("scale") === "log";
    for (const id of ["smooth", "log-loss"]) byId(id).addEventListener("input", () => this.#changed());
    byId("over").addEventListener("change", ({ target }) => this.#take([target.value]));
    byId("loss-view").disabled = false;
    this.#draw();
    this.#trying(() => this.#offer());
    this.#take((given.get("with") ?? "").split(","));
  }

  async #trying(step) {
    try {
      await step();
      say(byId("over-error"), "");
    } catch (error) {
      say(byId("over-error"), inWords(error));
    }
  }

  async #offer() {
    const { data } = await call("/jobs?limit=100");
    const alike = data.filter((job) => job.id !== this.own && job.recipe !== "evaluate");
    byId("over").append(...alike.map((job) => h("option", { value: job.id }, `${job.name} (${job.status})`)));
  }

  /** Put curves of other jobs over this one's. */
  async #take(ids) {
    byId("over").value = "";
    const fresh = ids.filter((id) => id && id !== this.own && !this.others.has(id)).slice(0, MOST_OTHERS - this.others.size);
    for (const id of fresh) await this.#follow(id);
    if (fresh.length) this.#changed();
  }

  /** Read a curve, and again until its job has ended or it was taken away. */
  async #follow(id) {
    await this.#trying(() => this.#read(id));
    if (this.others.get(id)?.isOver === false) setTimeout(() => this.others.has(id) && this.#follow(id).then(() => this.#draw()), AGAIN_MS);
  }

  async #read(id) {
    const path = `/jobs/${encodeURIComponent(id)}`;
    const [job, { data }] = await Promise.all([call(path), call(`${path}/metrics?points=400`)]);
    this.others.set(id, { id, name: job.name, rows: data, isOver: isFinal(job) });
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
    const button = h("button", { type: "button", class: "button button--plain button--small", "aria-label": `Take ${name} away`, on: { click: away } }, "✕");
    return h("li", { class: `over-job over-job--${place + 1}` }, h("a", { href: `/ui/jobs/${encodeURIComponent(id)}` }, name), button);
  }
}

/** Two lists that show the same things: what is lit in one is lit in the other, by pointer, focus and arrow keys. */

import { scrollWithin } from "./dom.js";

export class Linked {
  /**
   * `lists` are elements whose items carry `data-i`, one item or more for each number. `onLight(i)` is called
   * for each newly lit number. What was lit last stays lit, so that a pointer can travel to what it opened.
   */
  constructor(lists, onLight) {
    this.lists = lists;
    this.onLight = onLight;
    this.lit = null;
    for (const list of lists) {
      list.addEventListener("pointerover", (event) => this.#from(event));
      list.addEventListener("focusin", (event) => this.#from(event));
      list.addEventListener("click", (event) => event.target.closest("[data-i]")?.focus({ preventScroll: true }));
      list.addEventListener("keydown", (event) => this.#move(event, list));
    }
  }

  /** Forget what was lit; to be called when the items were replaced. */
  reset() {
    this.lit = null;
    for (const list of this.lists) list.querySelector("[data-i]")?.setAttribute("tabindex", "0");
  }

  light(i) {
    if (i === this.lit) return;
    for (const list of this.lists) {
      for (const item of list.querySelectorAll(".lit")) this.#mark(item, false);
      for (const item of list.querySelectorAll(`[data-i="${i}"]`)) this.#mark(item, true);
      this.#show(list, i);
    }
    this.lit = i;
    this.onLight(i);
  }

  #mark(item, isLit) {
    item.classList.toggle("lit", isLit);
    if (item.role === "option") item.setAttribute("aria-selected", String(isLit));
  }

  /** Make the lit item the one that Tab reaches, and scroll the list, never the page, to it. */
  #show(list, i) {
    const item = list.querySelector(`[data-i="${i}"]`);
    if (!item) return;
    list.querySelector('[tabindex="0"]')?.setAttribute("tabindex", "-1");
    item.setAttribute("tabindex", "0");
    scrollWithin(list, item, 0); // no margin: what is under a pointer is not to move
  }

  #from(event) {
    const item = event.target.closest("[data-i]");
    if (item) this.light(Number(item.dataset.i));
  }

  #move(event, list) {
    const current = event.target.closest("[data-i]");
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!current || (!step && event.key !== "Home" && event.key !== "End")) return;
    const items = [...list.querySelectorAll("[data-i]")];
    const place = items.indexOf(current) + (step ?? 0);
    const next = event.key === "Home" ? items[0] : event.key === "End" ? items.at(-1) : items[place];
    event.preventDefault();
    next?.focus({ preventScroll: true });
  }
}

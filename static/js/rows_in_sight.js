/** Lines of one height in a frame that scrolls: only those in sight are elements, however many there are. */

import { h } from "./dom.js";

const BEYOND = 3; // lines drawn above and below what is in sight

export class RowsInSight {
  /** `draw(row)` makes the element of a line. */
  constructor(frame, draw) {
    this.frame = frame;
    this.draw = draw;
    this.count = 0;
    this.drawn = new Map(); // by line
    this.room = h("div", { class: "rows__room", role: "presentation" });
    frame.classList.add("rows");
    frame.addEventListener("scroll", () => this.#soon(), { passive: true });
  }

  /** Have `count` lines of `height` pixels; what was drawn is drawn anew. */
  show(count, height) {
    Object.assign(this, { count, height });
    this.room.style.height = `${count * height}px`;
    this.room.replaceChildren();
    this.drawn.clear();
    if (this.room.parentElement !== this.frame) this.frame.replaceChildren(this.room);
    this.fill();
  }

  /** Draw the lines in sight that are not there, and let go of those that are out of it. */
  fill() {
    const { frame, height, count, drawn } = this;
    if (!count) return;
    const first = Math.max(0, Math.floor(frame.scrollTop / height) - BEYOND);
    const end = Math.min(count, Math.ceil((frame.scrollTop + frame.clientHeight) / height) + BEYOND);
    for (const [row, element] of drawn) {
      if (row >= first && row < end) continue;
      element.remove();
      drawn.delete(row);
    }
    for (let row = first; row < end; row += 1) {
      if (drawn.has(row)) continue;
      const element = this.draw(row);
      element.style.top = `${row * height}px`;
      drawn.set(row, element);
      this.room.append(element);
    }
  }

  /** Scroll the frame, never the page, so that a line is in sight, and draw it. */
  reveal(row) {
    const { frame, height } = this;
    const [top, bottom] = [row * height, (row + 1) * height];
    if (top < frame.scrollTop) frame.scrollTop = top;
    else if (bottom > frame.scrollTop + frame.clientHeight) frame.scrollTop = bottom - frame.clientHeight;
    this.fill();
  }

  #soon() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = null;
      this.fill();
    });
  }
}

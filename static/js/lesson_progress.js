/** What the reader has done of the lessons, kept in this browser alone. */

const KEY = "inkling-lessons";

/** By chapter, by step: `{job}` of steps that began one, `begun` until it has ended well. */
function read() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY));
    return kept && typeof kept === "object" && !Array.isArray(kept) ? kept : {};
  } catch {
    return {}; // not JSON, or a browser that keeps nothing
  }
}

export class Progress {
  /** `onChange()` is called after each change, also of another tab. */
  constructor(chapter, onChange) {
    this.chapter = chapter;
    this.onChange = onChange;
    this.isKept = true;
    this.all = read();
    addEventListener("storage", (event) => {
      if (event.key !== KEY && event.key !== null) return;
      this.all = read();
      this.onChange();
    });
  }

  isDone(step, chapter = this.chapter) {
    const kept = this.all[chapter]?.[step];
    return kept !== undefined && !kept?.begun;
  }

  /** The job of a step that began one, else undefined. */
  jobOf(step) {
    return this.all[this.chapter]?.[step]?.job;
  }

  /** A job of the step was begun; it is done once the job is. */
  begun(step, job) {
    this.#keep(step, { job, begun: true });
  }

  done(step, what = {}) {
    this.#keep(step, what);
  }

  #keep(step, what) {
    this.#change((all) => {
      all[this.chapter] = { ...all[this.chapter], [step]: what };
    });
  }

  /** Forget one chapter, or all. */
  forget(chapter = null) {
    this.#change((all) => {
      for (const each of chapter === null ? Object.keys(all) : [chapter]) delete all[each];
    });
  }

  /** Change what another tab may have changed meanwhile. */
  #change(change) {
    if (this.isKept) this.all = read();
    change(this.all);
    try {
      localStorage.setItem(KEY, JSON.stringify(this.all));
    } catch {
      this.isKept = false; // it holds as long as the page does, which the page says
    }
    this.onChange();
  }
}

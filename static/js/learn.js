/** The page of all lessons: what is done of each, and a way to forget it. */

import { byId } from "./dom.js";
import { Progress } from "./lesson_progress.js";

const progress = new Progress(null, show);

function show() {
  let [done, all] = [0, 0];
  for (const chapter of document.querySelectorAll("[data-chapter]")) {
    const steps = [...chapter.querySelectorAll("[data-step]")];
    const mine = steps.filter((link) => {
      const isDone = progress.isDone(link.dataset.step, chapter.dataset.chapter);
      link.querySelector(".tick").classList.toggle("tick--done", isDone);
      link.querySelector("[data-told]").textContent = isDone ? " (done)" : "";
      return isDone;
    }).length;
    chapter.querySelector("[data-done]").textContent = `${mine} of ${steps.length} steps done`;
    done += mine;
    all += steps.length;
  }
  byId("progress").textContent = `${done} of ${all} steps done. What you have done is kept in this browser alone.`;
  byId("reset").hidden = done === 0;
}

/** Ask once more before all is forgotten; the question goes when the button loses the focus. */
const button = byId("reset");
const label = button.textContent;
button.addEventListener("click", () => {
  if (button.textContent === label) {
    button.textContent = "Really forget all?";
    return;
  }
  progress.forget();
  button.textContent = label;
});
button.addEventListener("blur", () => {
  button.textContent = label;
});
show();

/** A chapter's page: its steps, each ticked when the reader has done it. */

import { installCopyButtons } from "./copying.js";
import { byId } from "./dom.js";
import { LessonAsk } from "./lesson_ask.js";
import { Progress } from "./lesson_progress.js";
import { LessonTrain } from "./lesson_train.js";

const chapter = byId("lesson").dataset.chapter;
const steps = [...document.querySelectorAll("[data-step]")].map((link) => link.dataset.step);
const progress = new Progress(chapter, show);

function show() {
  let done = 0;
  for (const step of steps) {
    const isDone = progress.isDone(step);
    done += isDone;
    const link = document.querySelector(`[data-step="${step}"]`);
    link.querySelector("[data-told]").textContent = isDone ? " (done)" : "";
    for (const tick of [link.querySelector(".tick"), document.querySelector(`[data-tick="${step}"]`)]) {
      tick.classList.toggle("tick--done", isDone);
    }
  }
  const lost = progress.isKept ? "" : ", which this browser does not keep";
  byId("progress").textContent = `${done} of ${steps.length} steps done${lost}`;
  byId("reset").hidden = done === 0;
}

byId("reset").addEventListener("click", () => progress.forget(chapter));
installCopyButtons();
show();
for (const form of document.querySelectorAll("[data-ask]")) {
  const step = form.closest("section").id;
  new LessonAsk(form, step, () => progress.done(step));
}
for (const form of document.querySelectorAll("[data-train]")) {
  new LessonTrain(form, form.closest("section").id, progress);
}

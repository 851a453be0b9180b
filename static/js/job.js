/** The page of a job that trains; the slider's script comes with the first checkpoint. */

import { inWords } from "./api.js";
import { byId, say } from "./dom.js";
import { accuracyChart, preferenceChart } from "./figure_chart.js";
import { JobPage } from "./job_page.js";
import { LossChart } from "./loss_chart.js";

const { id } = byId("job").dataset;
const loss = new LossChart();
const scrubber = (onMissing) => import("./scrubber.js").then(({ Scrubber }) => new Scrubber(loss, onMissing));
import("./loss_view.js").then(({ LossView }) => new LossView(loss, id)).catch((error) => say(byId("over-error"), inWords(error)));
await new JobPage(id, { charts: [loss, accuracyChart(), preferenceChart()], scrubber }).start();

/** The page of an evaluation: a job that measures. */

import { byId } from "./dom.js";
import { EvaluationView } from "./evaluation.js";
import { JobPage } from "./job_page.js";

const { id } = byId("job").dataset;
await new JobPage(id, { evaluation: new EvaluationView(`/jobs/${encodeURIComponent(id)}`) }).start();

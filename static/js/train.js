/** The page that starts jobs. */

import { installCopyButtons } from "./copying.js";
import { byId } from "./dom.js";
import { startJobForm } from "./job_form.js";

installCopyButtons();
await startJobForm(byId("train").dataset.tokenizer);

/** Starts the playground of the first page. */

import { installCopyButtons } from "./copying.js";
import { byId } from "./dom.js";
import { startPlayground } from "./generate.js";

installCopyButtons();
await startPlayground(byId("home").dataset);

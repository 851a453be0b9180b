/** Starts the two halves of the first page. */

import { installCopyButtons } from "./command.js";
import { byId } from "./dom.js";
import { startPlayground } from "./generate.js";
import { startTokens } from "./tokens.js";

const chosen = byId("home").dataset;
installCopyButtons();
await Promise.all([startTokens(chosen), startPlayground(chosen)]);

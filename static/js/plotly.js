/** Plotly, a script larger than all of a page's own: it comes beside them, and nothing but what it draws waits for it. */

import { h } from "./dom.js";

const MISSING = "What draws this did not come. Reload the page to try again; the numbers are in the table.";

const coming = new Promise((resolve, reject) => {
  document.head.append(h("script", { src: "/static/plotly/plotly.min.js", on: { load: resolve, error: reject } }));
});
coming.catch(() => {
  for (const box of document.querySelectorAll(".chart")) Object.assign(box, { hidden: false, textContent: MISSING });
});

/** Call `draw` once `window.Plotly` is there. */
export function whenPlotly(draw) {
  coming.then(draw, () => {}); // where it does not come, the charts say so
}

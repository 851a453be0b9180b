/** How plots look, in the colours of the page. */

import { colour } from "./heat.js";

export const CONFIG = { showSendToCloud: false, plotlyServerURL: "", displaylogo: false, displayModeBar: false, responsive: true };

export function layout() {
  const axis = {
    gridcolor: colour("--grid"),
    linecolor: colour("--line-strong"),
    tickcolor: colour("--line-strong"),
    zeroline: false,
    fixedrange: false,
  };
  return {
    font: { family: colour("--sans"), size: 13, color: colour("--ink-soft") },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 52, r: 12, t: 8, b: 44 },
    xaxis: { ...axis, title: { text: "step" }, rangemode: "tozero" },
    yaxis: { ...axis, title: { text: "loss" } },
    legend: { orientation: "h", x: 1, xanchor: "right", y: 1.02, yanchor: "bottom" },
    hovermode: "x unified",
    hoverlabel: { bgcolor: colour("--sheet"), bordercolor: colour("--line-strong"), font: { color: colour("--ink") } },
  };
}

export function trace(name, points, style) {
  return {
    type: "scatter",
    name,
    x: points.map((point) => point.step),
    y: points.map((point) => point.value),
    hovertemplate: "%{y:.4f}",
    ...style,
  };
}

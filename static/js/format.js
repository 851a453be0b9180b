/** Numbers and times as a person reads them. */

const whole = new Intl.NumberFormat("en");

export function count(number) {
  return number === null || number === undefined ? "–" : whole.format(number);
}

/** `1 token`, `2 tokens`. */
export function many(number, word) {
  return `${count(number)} ${word}${number === 1 ? "" : "s"}`;
}

export function percent(share) {
  if (share >= 0.9995) return "100 %";
  if (share === 0) return "0 %";
  return share < 0.001 ? "< 0.1 %" : `${(share * 100).toFixed(1)} %`;
}

export function size(bytes) {
  const steps = ["bytes", "kB", "MB", "GB"];
  let step = 0;
  let value = bytes;
  for (; value >= 1000 && step < steps.length - 1; step += 1) value /= 1000;
  return step === 0 ? `${count(bytes)} bytes` : `${value.toFixed(value < 10 ? 1 : 0)} ${steps[step]}`;
}

/** Millions and thousands of parameters. */
export function compact(number) {
  if (number >= 1e9) return `${(number / 1e9).toFixed(1)} B`;
  if (number >= 1e6) return `${(number / 1e6).toFixed(number < 1e7 ? 1 : 0)} M`;
  return number >= 1e3 ? `${Math.round(number / 1e3)} k` : count(number);
}

export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}

/** A moment of today as its time, any other with its date. `seconds` is Unix time. */
export function moment(seconds) {
  const then = new Date(seconds * 1000);
  const time = then.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  if (then.toDateString() === new Date().toDateString()) return time;
  return `${then.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" })}, ${time}`;
}

export function loss(value) {
  return value === null || value === undefined ? "–" : value.toFixed(value < 10 ? 3 : 2);
}

/** A curve without its jitter. */

/** An exponential moving mean, its beginning set right as that of Adam's moments is. */
export function smoothed(points, weight) {
  let [mean, known] = [0, 0];
  return points.map(({ step, value }) => {
    mean = weight * mean + (1 - weight) * value;
    known = weight * known + 1 - weight;
    return { step, value: mean / known };
  });
}

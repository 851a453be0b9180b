/** A curve without its jitter. */

/** Points as an exponential moving mean: each is `weight` of the ones before and the rest of itself. The first ones are set right for having little before them, as in Adam's moments. */
export function smoothed(points, weight) {
  let [mean, known] = [0, 0];
  return points.map(({ step, value }) => {
    mean = weight * mean + (1 - weight) * value;
    known = weight * known + 1 - weight;
    return { step, value: mean / known };
  });
}

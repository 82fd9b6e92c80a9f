// @ts-check
/**
 * Time-aware exponential smoothing without the pull towards zero at the start: each older value counts by
 * amount^(distance / a thousandth of the range), and the sum is divided by the weights that are really there. Gaps stay.
 *
 * @param {number[]} xs rising @param {(number|null)[]} ys @param {number} amount 0 (nothing) to below 1
 * @returns {(number|null)[]}
 */
export function smooth(xs, ys, amount) {
  if (!amount || xs.length < 2) return ys;
  const unit = (xs[xs.length - 1] - xs[0]) / 1000 || 1;
  let sum = 0, weight = 0, before = xs[0];
  return ys.map((y, i) => {
    if (y === null || !Number.isFinite(y)) return null;
    const decay = amount ** ((xs[i] - before) / unit);
    before = xs[i];
    sum = sum * decay + y;
    weight = weight * decay + 1;
    return sum / weight;
  });
}

/**
 * The longest time between two points that is still joined by a line. Between two stages nothing was measured, but a
 * step of a large model may itself take seconds: so it goes by what is usual in this very line.
 *
 * @param {number[]} xs rising @param {number} least
 */
export function longestPause(xs, least) {
  const pauses = xs.slice(1).map((x, i) => x - xs[i]).sort((a, b) => a - b);
  // three quarters, not the median: a night may be slow in one half and quick in the other
  const usual = pauses[Math.floor((pauses.length - 1) * 0.75)] ?? 0;
  return Math.max((xs[xs.length - 1] - xs[0]) / 100, least, 3 * usual);
}

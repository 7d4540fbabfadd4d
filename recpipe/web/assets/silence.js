/** Where nobody speaks, by the waveform. */

const QUIET = 0.05; // of the loudest: 26 dB below it, above the noise of a telephone line
const SHORTEST_SECONDS = 2; // a pause for thought is part of what is said

/**
 * @param {ArrayLike<number>[]} peaks one or two channels of low, high, low, high...
 * @param {number} seconds that they cover
 * @returns {{from: number, to: number}[]} seconds in which every channel is quiet, in their order
 */
export function silencesOf(peaks, seconds) {
  const points = peaks.length ? peaks[0].length / 2 : 0;
  const loud = (point) => peaks.reduce((most, of) => Math.max(most, Math.abs(of[2 * point]), Math.abs(of[2 * point + 1])), 0);
  let loudest = 0;
  for (let point = 0; point < points; point++) loudest = Math.max(loudest, loud(point));
  const found = [];
  let from = 0;
  for (let point = 0; point <= points; point++) {
    if (point < points && loud(point) < loudest * QUIET) continue;
    if (((point - from) / points) * seconds >= SHORTEST_SECONDS) {
      found.push({ from: (from / points) * seconds, to: (point / points) * seconds });
    }
    from = point + 1;
  }
  return found;
}

/** Draws the waveform of what plays. */

const COLUMN = 3; // px: a bar of two and a gap

/**
 * @param {HTMLCanvasElement} wave whose style names the colours: what is played of each voice, and what is left
 * @param {object} shown
 * @param {{offset: number, seconds: number, peaks: ArrayLike<number>[], facts: {masked: number[][]}}[]} shown.tracks one
 *   behind another
 * @param {number} shown.seconds of all tracks
 * @param {number} shown.share that was played, 0 to 1
 * @param {?{a: number, b: ?number}} shown.loop marked places, in seconds
 */
export function drawWave(wave, { tracks, seconds, share, loop }) {
  const { width, height } = wave.getBoundingClientRect();
  if (!width) return;
  const scale = devicePixelRatio || 1;
  if (wave.width !== Math.round(width * scale)) wave.width = Math.round(width * scale);
  if (wave.height !== Math.round(height * scale)) wave.height = Math.round(height * scale);
  const pen = wave.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  const style = getComputedStyle(wave);
  const left = style.getPropertyValue("border-bottom-color");
  const played = ["color", "border-top-color"].map((name) => style.getPropertyValue(name)); // of each voice
  const all = tracks.flatMap((track) => track.peaks);
  const loudest = all.reduce((most, values) => values.reduce((m, value) => Math.max(m, Math.abs(value)), most), 0.05);
  const middle = height / 2;
  const reach = middle - 1;
  const place = (at) => (at / seconds) * width;
  if (loop) {
    pen.fillStyle = left;
    pen.globalAlpha = 0.35;
    pen.fillRect(place(loop.a), 0, Math.max(2, place(loop.b ?? loop.a) - place(loop.a)), height);
    pen.globalAlpha = 1;
  }
  for (const { offset, facts } of tracks) {
    for (const [from, to] of facts.masked) {
      const pause = from === to ? 2 : 0; // has no length, and is a line
      shade(pen, left, place(offset + from) - pause, place(offset + to), height);
    }
  }
  for (let lane = 0; lane < Math.max(1, ...tracks.map((track) => track.peaks.length)); lane++) {
    for (let x = 0; x < width; x += COLUMN) {
      const at = (x / width) * seconds;
      const track = tracks.length ? tracks[Math.max(0, tracks.findLastIndex((one) => one.offset <= at))] : null;
      const values = track?.peaks[lane] ?? [];
      if (lane && !values.length) continue; // this leg has one voice
      const within = track?.seconds ? Math.min(0.9999, (at - track.offset) / track.seconds) : 0;
      const point = Math.floor(within * (values.length / 2)) * 2;
      const [low, high] = values.length ? [values[point] / loudest, values[point + 1] / loudest] : [0, 0];
      pen.fillStyle = x < share * width ? played[lane % 2] : left;
      if (track?.peaks.length === 2) {
        // Two voices grow from one line, the left one up and the right one down: who speaks is seen at a glance.
        const size = Math.max(1, Math.max(high, -low) * reach);
        pen.fillRect(x, lane ? middle : middle - size, 2, size);
      } else {
        pen.fillRect(x, middle - Math.max(1, high * reach), 2, Math.max(2, (high - low) * reach));
      }
    }
  }
  pen.fillStyle = played[0];
  for (const track of tracks.slice(1)) pen.fillRect(place(track.offset) - 1, 0, 1, height); // between legs
  if (loop) for (const at of [loop.a, loop.b ?? loop.a]) pen.fillRect(place(at) - 1, 0, 2, height);
}

/** A part that holds silence instead of voices: hatched, so that it is none of the marks that a person sets. */
function shade(pen, colour, from, to, height) {
  const width = Math.max(4, to - from);
  pen.save();
  pen.beginPath();
  pen.rect(from, 0, width, height);
  pen.clip();
  pen.fillStyle = pen.strokeStyle = colour;
  pen.globalAlpha = 0.25;
  pen.fillRect(from, 0, width, height);
  pen.globalAlpha = 0.8;
  pen.beginPath();
  for (let x = from - height; x < from + width; x += 8) {
    pen.moveTo(x, height);
    pen.lineTo(x + height, 0);
  }
  pen.stroke();
  pen.restore();
}

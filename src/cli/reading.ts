/** Progress of reading large files, for commands that do not report it themselves. */
import { type ReadMeter, watchReading } from "../data/read-meter.ts";
import { PhaseProgress } from "../terminal/phases.ts";

/** Reading that takes less than this many milliseconds is not reported. */
const quietMs = 500;

let isWatching = false;

/** From now on the reading of large files is reported. */
export function showReading(): void {
  if (isWatching) return;
  isWatching = true;
  let shown: { meter: ReadMeter; began: number; progress: PhaseProgress | null } | null = null;
  watchReading((meter) => {
    if (shown?.meter !== meter) shown = { meter, began: performance.now(), progress: null };
    if (meter.isDone) {
      shown.progress?.clear();
      shown = null;
    } else if (performance.now() - shown.began >= quietMs) {
      shown.progress ??= new PhaseProgress("rows read", null);
      shown.progress.update(meter.rows, meter.note);
    }
  });
}

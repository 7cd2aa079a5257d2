/** Progress of files that take long to be read, where the command at hand does not tell of it itself. */
import { type ReadMeter, watchReading } from "../data/read-meter.ts";
import { PhaseProgress } from "../runs/progress.ts";

/** Reading that is done before this many milliseconds is not told of. */
const quietMs = 500;

let isWatching = false;

/** From now on files are told of that take long to be read. */
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

/** Curves that the server smooths: those that it thinned are loaded again when they are to be drawn otherwise. */
import { useEffect } from "preact/hooks";
import type { Curves } from "./curves.ts";

/** Ms after the last move of the slider. */
const pauseMs = 200;

/** Loads again what was smoothed otherwise; an answer that is late as well. */
export function useReload(curves: Iterable<Curves>, smoothing: number, load: () => void): void {
  const isStale = [...curves].some((some) =>
    [...some.values()].some(({ samples }) => (samples?.running?.smoothing ?? smoothing) !== smoothing),
  );
  useEffect(() => {
    if (!isStale) return;
    const timer = setTimeout(load, pauseMs);
    return () => clearTimeout(timer);
  }, [isStale, smoothing]);
}

/** How much of what was trained a model takes: 0 is the start, 1 the result. An adapter's place may end in it: `DIR@scale=0.4`. */
import { ConfigError } from "../base/errors.ts";

/** The largest scale. */
const mostScale = 2;
const suffix = "@scale=";

/**
 * `scale`, checked.
 *
 * @param name - where it was given, for the message
 * @throws {ConfigError} outside [0, 2]
 */
export function checkedScale(scale: number, name: string): number {
  if (scale >= 0 && scale <= mostScale) return scale;
  throw new ConfigError(
    `${name}: expected a number from 0, the start, over 1, the result, to ${mostScale}; got ${scale}.`,
  );
}

/** The place of an adapter without its scale, and the scale, 1 where there is none. @throws {ConfigError} for one outside [0, 2] */
export function adapterPlace(place: string): { place: string; scale: number } {
  const at = place.lastIndexOf(suffix);
  if (at < 0) return { place, scale: 1 };
  const text = place.slice(at + suffix.length);
  const scale = text.trim() === "" ? Number.NaN : Number(text);
  return { place: place.slice(0, at), scale: checkedScale(scale, place) };
}

/** The place of an adapter at a scale; null: as it is given. @throws {ConfigError} for a place that has one already */
export function scaledPlace(place: string, scale: number | null): string {
  if (scale === null) return place;
  if (!place.includes(suffix)) return scale === 1 ? place : `${place}${suffix}${scale}`;
  throw new ConfigError(`${place}: a scale is given twice, there and as ${scale}. Give it once.`);
}

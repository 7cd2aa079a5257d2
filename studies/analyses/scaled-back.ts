/** Models trained further and scaled back, against the same method trained less. Numbers in, numbers out. */
import { overSets, type Point, type SetMean } from "./excess.ts";

/** What is compared, each the scaled model's less the other's. */
export const scaledBackKeys = ["chosen", "margin", "drift", "tail", "otherText"] as const;

/** One method at one learning rate. */
export interface ScaledBack {
  /** The scaled model's. */
  name: string;
  learningRate: number;
  less: Readonly<Record<(typeof scaledBackKeys)[number], SetMean>>;
}

/**
 * Differences within training sets between the scaled models of each higher learning rate and the whole ones of the lowest.
 *
 * @param names - of a method's whole and scaled models
 */
export function scaledBack(
  points: readonly Point[],
  names: readonly (readonly [whole: string, scaled: string])[],
): ScaledBack[] {
  const least = Math.min(...points.map(({ learningRate }) => learningRate));
  return names.flatMap(([whole, name]) => {
    const trainedLess = new Map(
      points
        .filter((point) => point.name === whole && point.learningRate === least)
        .map((point) => [point.set, point]),
    );
    const scaled = points.filter((point) => point.name === name && point.learningRate > least);
    return [...Map.groupBy(scaled, ({ learningRate }) => learningRate)].map(([learningRate, own]) => {
      const less = (key: (typeof scaledBackKeys)[number]): SetMean =>
        overSets(
          own.flatMap((point) => {
            const other = trainedLess.get(point.set);
            return other === undefined ? [] : [point[key] - other[key]];
          }),
        );
      return {
        ...{ name, learningRate },
        less: {
          ...{ chosen: less("chosen"), margin: less("margin"), drift: less("drift"), tail: less("tail") },
          otherText: less("otherText"),
        },
      };
    });
  });
}

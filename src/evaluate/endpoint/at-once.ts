/** Work on many items with a limit on how many are under way. */
import { at } from "../../base/at.ts";

/**
 * Calls `work` for each item, `limit` at once. After a failure no further item is begun; those under way are waited for, so
 * that what they bring is kept, and the first failure is thrown.
 */
export async function forEachAtOnce<T>(
  items: readonly T[],
  limit: number,
  work: (item: T, index: number) => Promise<void>,
): Promise<void> {
  const failures: unknown[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < items.length && failures.length === 0) {
      const index = next++;
      try {
        await work(at(items, index), index);
      } catch (error) {
        failures.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
  if (failures.length > 0) throw failures[0];
}

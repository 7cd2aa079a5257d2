/**
 * The benchmark's reward: no text decides it, so every trainer can compute it, and a random model learns it.
 *
 * @param {{ completion_ids: number[][] }} input
 * @returns {number[]} the fraction of each completion's tokens whose id is even
 */
export function evenShare({ completion_ids }) {
  return completion_ids.map((ids) => ids.filter((id) => id % 2 === 0).length / Math.max(1, ids.length));
}

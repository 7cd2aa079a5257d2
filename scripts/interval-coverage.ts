/** `npm run ts -- scripts/interval-coverage.ts`: how often the studies' 95 % intervals hold the truth, on made-up results of which it is known. */
import { Random } from "../src/base/random.ts";
import { textTable } from "../src/base/text-table.ts";
import { meanInterval } from "../src/sweep/estimates.ts";

const samples = 400;
const pairs = 60;
/** Standard deviations: of the pairs, and of what is left besides pair and seed. */
const spread = { pair: 0.3, rest: 0.3 };

function gaussian(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
}

/** A table whose true mean is 0. */
function draw(random: Random, seeds: number, ofSeeds: number): Float64Array[] {
  const ofPairs = Array.from({ length: pairs }, () => spread.pair * gaussian(random));
  return Array.from({ length: seeds }, () => {
    const seed = ofSeeds * gaussian(random);
    return Float64Array.from(ofPairs, (pair) => pair + seed + spread.rest * gaussian(random));
  });
}

function coverage(seeds: number, ofSeeds: number): number {
  const random = new Random(7);
  let held = 0;
  for (let i = 0; i < samples; i++) {
    const { low, high } = meanInterval(draw(random, seeds, ofSeeds), { draws: 300, seed: i });
    if (low <= 0 && high >= 0) held += 1;
  }
  return held / samples;
}

const rows = [1, 2, 3, 5, 8].map((seeds) => [
  String(seeds),
  ...[0, 0.05, 0.2].map((ofSeeds) => coverage(seeds, ofSeeds).toFixed(3)),
]);
process.stdout.write(`${textTable(["seeds", "seeds alike", "0.05 apart", "0.2 apart"], rows)}\n`);

/**
 * Child program, `train-rank-child.ts`: trains by the library as VALUES say, as one rank of a run. It prints which rank it is and
 * how many events it got, and then how the run ended, on each rank, as JSON.
 */
import { PreftuneError } from "../../src/base/errors.ts";
import { stringifyNumbers } from "../../src/base/json-numbers.ts";
import { train } from "../../src/index.ts";

try {
  const run = train(JSON.parse(process.env["VALUES"] ?? ""));
  let events = 0;
  for (;;) {
    const { done, value } = await run.next();
    if (done !== true) {
      events++;
      continue;
    }
    process.stdout.write(`${JSON.stringify({ rank: run.rank, ranks: run.ranks, events })}\n`);
    process.stdout.write(`${stringifyNumbers(value)}\n`);
    break;
  }
} catch (error) {
  if (!(error instanceof PreftuneError)) throw error;
  process.stdout.write(`${JSON.stringify({ error: error.message })}\n`);
  process.exitCode = error.exitCode;
}

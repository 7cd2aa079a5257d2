/** Child program, `train-rank-child.ts`: trains as VALUES say, as one rank of a run, and prints how the run ended, on each rank, as JSON. */
import { PreftuneError } from "../../src/base/errors.ts";
import { stringifyNumbers } from "../../src/base/json-numbers.ts";
import { loadConfig } from "../../src/config/load-config.ts";
import { train } from "../../src/recipes/train.ts";

const events = train(loadConfig({ values: JSON.parse(process.env["VALUES"] ?? "") }));
try {
  for (;;) {
    const { done, value } = await events.next();
    if (done !== true) continue;
    process.stdout.write(`${stringifyNumbers(value)}\n`);
    break;
  }
} catch (error) {
  if (!(error instanceof PreftuneError)) throw error;
  process.stdout.write(`${JSON.stringify({ error: error.message })}\n`);
  process.exitCode = error.exitCode;
}

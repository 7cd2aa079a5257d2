/** `npm run quickstart [-- --fast] [--seed N] [--output DIR]`: see `src/quickstart/quickstart.ts`. */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ConfigError, messageOf, PreftuneError } from "../src/base/errors.ts";
import { quickstart } from "../src/quickstart/quickstart.ts";

const usage = `npm run quickstart -- [--seed N] [--output DIR] [--fast]

Trains a small model from scratch by SFT, then by DPO, SimPO and SLIME from that one checkpoint, on data it makes itself.

  --seed N      decides data, weights and order (default 1)
  --output DIR  where everything is written (default runs/quickstart); a former quick start there is replaced
  --fast        a few steps only: shows that everything works
`;

function options(): Parameters<typeof quickstart>[0] | null {
  const { values } = parseArgs({
    options: {
      seed: { type: "string", default: "1" },
      output: { type: "string", default: join("runs", "quickstart") },
      fast: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return null;
  const seed = Number(values.seed);
  if (!Number.isSafeInteger(seed) || seed < 0 || seed >= 2 ** 31) {
    throw new ConfigError(`--seed: expected a whole number from 0 to ${2 ** 31 - 1}, got "${values.seed}".`);
  }
  return { output: values.output, seed, fast: values.fast, out: process.stdout };
}

try {
  const given = options();
  if (given === null) process.stdout.write(usage);
  else await quickstart(given);
} catch (error) {
  const isMistake =
    error instanceof TypeError && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS");
  if (!(error instanceof PreftuneError) && !isMistake) throw error;
  process.stderr.write(`${messageOf(error)}\n${isMistake ? `\n${usage}` : ""}`);
  process.exitCode = error instanceof PreftuneError ? error.exitCode : 2;
}

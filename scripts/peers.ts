/**
 * `npm run peers [-- --bench] [-- --eval] [-- --gguf] [-- --trackers]`: the Python libraries that tests and benchmarks compare with (python-peers.ts);
 * `--bench` adds TRL, `--eval` lm-eval, `--gguf` gguf-py and llama.cpp, `--trackers` Trackio, MLflow and W&B.
 * `npm test` installs all but TRL and the trackers by itself. In place already: nothing is done.
 */
import { parseArgs } from "node:util";
import { PreftuneError } from "../src/base/errors.ts";
import { ensurePeers } from "./python-peers.ts";

const flag = { type: "boolean", default: false } as const;

try {
  await ensurePeers(parseArgs({ options: { bench: flag, eval: flag, gguf: flag, trackers: flag } }).values);
} catch (error) {
  if (!(error instanceof PreftuneError)) throw error;
  process.stderr.write(`preftune: ${error.message}\n`);
  process.exitCode = error.exitCode;
}

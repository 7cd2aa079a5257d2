/**
 * Child program, `train-child.ts VALUES`: trains as the JSON says. It prints for each finished step a line: its number, the
 * digest of the generator's state after it, and its loss.
 */
import { sha256 } from "../../src/base/files.ts";
import { generatorState } from "../../src/torch/index.ts";
import { runTraining } from "./runs.ts";

/** SHA-256 of the state of torch's random numbers on the CPU. */
function generatorDigest(): string {
  using state = generatorState("cpu");
  return sha256(state.data() as Uint8Array);
}

await runTraining(JSON.parse(process.argv[2] ?? ""), {
  onEvent: (event) => {
    if (event.type === "step") process.stdout.write(`${event.step} ${generatorDigest()} ${event.loss}\n`);
  },
});

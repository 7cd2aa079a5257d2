/**
 * A custom objective: a hinge on the length-normalised margin. Everything else (data, batches, LoRA, checkpoints,
 * export) is preftune's. Run: npm run ts -- examples/custom-objective.ts MODEL_DIR PAIRS.jsonl OUTPUT_DIR
 */
import { train } from "preftune";
import { type PairObjective, pairMetrics } from "preftune/methods";
import { ops } from "preftune/torch";

const hinge: PairObjective = {
  name: "hinge",
  over: "pairs",
  evaluate(pairs, totals) {
    const margin = ops.sub(pairs.chosenMeanLogps, pairs.rejectedMeanLogps);
    const short = ops.relu(ops.sub(1, margin));
    return {
      loss: ops.mul(ops.sum(short), 1 / totals.groups),
      metrics: pairMetrics(pairs, pairs.chosenMeanLogps, pairs.rejectedMeanLogps),
    };
  },
};

const [model_name_or_path = "", train_data = "", output_dir = ""] = process.argv.slice(2);
const config = { model_name_or_path, train_data, output_dir, learning_rate: 1e-3, logging_steps: 1 };
for await (const event of train(config, { objective: hinge })) {
  if (event.type === "log") console.log(`step ${event.row.global_step}: loss ${event.row["loss"]}`);
}

/** A finished run's rows, and gradients of the models that it began and ended with. Needs libtorch. */
import { assertPreflight, type Example, prepareData } from "preftune/data";
import { resolveModelDirectory } from "preftune/formats";
import { objectiveOf } from "preftune/methods";
import { scope, seeded } from "preftune/torch";
import { prepareModel, type ResolvedConfig, settleEnvironment } from "preftune/train";
import { type MovingWeights, PairGradients } from "./pair-gradients.ts";

/** Which model gradients are taken of, and of which of its weights. */
export interface GradientOptions {
  /** Values in place of the configuration's: where the model is that the run ended with. */
  changes?: { adapter_name_or_path: string } | { model_name_or_path: string };
  moves?: MovingWeights;
}

/** A run that was opened again. */
export interface RunGradients {
  training: readonly Example[];
  heldOut: readonly Example[];
  /** What `look` gives for the model that the run began with, or for that of `changes`; the model is freed after it. */
  at<T>(look: (gradients: PairGradients) => T, options?: GradientOptions): T;
}

/** Reads the run's rows; its models are loaded when they are looked at. */
export async function openGradients({ config }: ResolvedConfig): Promise<RunGradients> {
  const base = await resolveModelDirectory(config.model_name_or_path);
  const { dataset } = await prepareData({ ...config, model_name_or_path: base, task: "preference" as const });
  assertPreflight(dataset.report);
  const environment = settleEnvironment(config);
  const numerics = {
    ...{ dtype: environment.dtype, gradient_checkpointing: false },
    logits_chunk_size: config.logits_chunk_size,
  };
  return {
    training: dataset.examples,
    heldOut: dataset.evalExamples ?? [],
    at: (look, { changes = {}, ...moving } = {}) => {
      using _ = scope();
      const chosen = { ...config, model_name_or_path: base, ...changes };
      const selected = { ...chosen, baseModel: config.model_name_or_path, disable_dropout: true };
      // a new adapter is drawn as the run drew it
      const trained = seeded(config.seed, () => prepareModel(selected, environment));
      try {
        return look(new PairGradients(trained, objectiveOf(config.method), numerics, moving));
      } finally {
        trained.dispose();
      }
    },
  };
}

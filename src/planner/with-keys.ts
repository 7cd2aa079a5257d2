/** A run as it would be with other keys. */
import { isOnPolicy } from "../config/online-keys.ts";
import { ownSkipModules } from "../formats/held-quantisation.ts";
import { askedQuantisation } from "../formats/quantisation.ts";
import type { PairLengths } from "./flops.ts";
import { fitted, heldModel, type PlanInput, type PlannedKeys, truncated } from "./plan-input.ts";
import type { ValueModelBase } from "./side-models.ts";
import { trainedPartsOf } from "./trained-parts.ts";

/**
 * `input` with `changed` among its keys, and what follows from them: what is trained, how weights are held, lengths of rows.
 *
 * @param size - rows of its largest micro-batch; default: as many as it has
 */
export function withKeys(
  input: PlanInput,
  changed: Partial<PlannedKeys>,
  size: number = input.workload.own.length,
): PlanInput {
  const { keys: before, workload, valueModel = null } = input;
  const { held = null } = workload;
  const keys = { ...before, ...changed };
  const modelOf = (base: ValueModelBase): ValueModelBase => {
    const names = ownSkipModules(base.model, keys.llm_int8_skip_modules ?? []);
    const asked = askedQuantisation({ ...keys, llm_int8_skip_modules: names });
    return {
      model: changed.load_in_4bit ? heldModel(input.modelName, base.model, asked) : base.model,
      trained: changed.use_peft ? trainedPartsOf(keys, base.model, null) : base.trained,
    };
  };
  const isSame = keys.max_length === before.max_length && size >= workload.own.length;
  const row = (one: PairLengths) => resized(one, { before, after: keys, isMeasured: workload.isMeasured });
  const microBatch = (rows: number, maxLength: number = keys.max_length) =>
    workload.microBatch(rows, maxLength).map(row);
  const own = isSame ? workload.own.map(row) : microBatch(Math.min(size, workload.own.length));
  return {
    ...{ ...input, ...modelOf(input), keys },
    valueModel: valueModel === null ? null : modelOf(valueModel),
    workload: {
      ...{ ...workload, mean: row(workload.mean), own, microBatch },
      held: held && {
        ...{ ...held, mean: row(held.mean) },
        batch: (rows, maxLength = keys.max_length) => held.batch(rows, maxLength),
      },
    },
  };
}

/** A row as long as the keys allow: of a rollout a completion with its part of the prompt. */
function resized(
  row: PairLengths,
  { before, after, isMeasured }: { before: PlannedKeys; after: PlannedKeys; isMeasured: boolean },
): PairLengths {
  if (!isOnPolicy(after)) {
    if (after.max_length === before.max_length) return row;
    return isMeasured ? truncated(row, after.max_length) : fitted(row, after.max_length);
  }
  const isSame = after.max_completion_length === before.max_completion_length;
  return {
    ...row,
    prompt: (row.prompt * before.num_generations) / after.num_generations,
    chosen: isSame ? row.chosen : Math.min(row.chosen, after.max_completion_length),
  };
}

/** Good completions of rows that steps anchor beside what was sampled. */
import { at } from "../base/at.ts";
import { ConfigError } from "../base/errors.ts";
import type { Example } from "../data/example.ts";
import { countedTokens } from "../data/packing.ts";
import type { RowOrder } from "../data/row-order.ts";
import type { RolloutColumns } from "../methods/rollout.ts";
import { PromptOrder } from "./prompt-order.ts";
import type { RolloutGroup } from "./rollout.ts";

/** The rows with a good completion, over and over in the order of the run's prompts. */
export class ReplayRows {
  readonly #rows: readonly { example: Example; index: number }[];
  readonly #order: PromptOrder;

  /** @throws {ConfigError} if no row has a good completion */
  constructor(examples: readonly Example[], how: RowOrder) {
    this.#rows = examples.flatMap((example, index) =>
      example.completions.length > 0 ? [{ example, index }] : [],
    );
    if (this.#rows.length === 0) {
      throw new ConfigError(
        'replay: expected rows of train_data with a good completion ("chosen" or "completion"), found none. Add them, or leave replay out.',
      );
    }
    this.#order = new PromptOrder(this.#rows.length, how);
  }

  /** Groups of one completion each: `count` rows for step `step`. */
  groups(step: number, count: number): RolloutGroup[] {
    return this.#order.take(step * count, count).map((place) => {
      const { example, index } = at(this.#rows, place);
      // the tokens that the completion follows, which may be others than those that are sampled of
      const { sampledPromptIds: _, ...pair } = example;
      const good = at(example.completions, 0);
      const completion = { ...good, ended: true, logps: new Float32Array(countedTokens(good)), kept: null };
      return { example: pair, index, completions: [completion] };
    });
  }
}

/** `columns` with what they have for replayed completions behind them: no reward, no KL, `replay` 1. */
export function withReplayed(
  columns: RolloutColumns,
  sampled: number,
  replayed: readonly RolloutGroup[],
): RolloutColumns {
  const completions = replayed.flatMap((group) => group.completions);
  const longer = Object.entries(columns).map(([name, values]) => {
    if (values[0] instanceof Float32Array) {
      const tokens = values as readonly Float32Array[];
      return [name, [...tokens, ...completions.map(({ logps }) => logps)]] as const;
    }
    const none = name === "rewards" ? Number.NaN : 0;
    return [name, [...(values as readonly number[]), ...completions.map(() => none)]] as const;
  });
  const isReplayed = [...new Array<number>(sampled).fill(0), ...completions.map(() => 1)];
  return { ...Object.fromEntries(longer), replay: isReplayed };
}

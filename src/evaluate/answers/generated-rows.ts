/** Rows that `preftune generate` wrote, a line for each prompt and adapter (src/recipes/generated-line.ts). */
import { DataError } from "../../base/errors.ts";
import { shellWord } from "../../base/shell-word.ts";
import { oneLine } from "../../terminal/text-table.ts";
import { numberOf } from "../../text/json-number.ts";

/** Which prompt of its file such a row is of; null for rows of other sources. */
export function generatedIndex({ index, adapter }: Readonly<Record<string, unknown>>): number | null {
  return typeof adapter === "string" ? numberOf(index) : null;
}

/** Refuses a file with completions of several adapters: its metrics would be of none of them. */
export class OneAdapter {
  #first: string | null = null;

  /** @throws {DataError} naming file, line and the two adapters of a row of another adapter than the first one's */
  check(value: Readonly<Record<string, unknown>>, path: string, where: string): void {
    if (generatedIndex(value) === null) return;
    const adapter = oneLine(String(value["adapter"]), 200);
    this.#first ??= adapter;
    if (adapter === this.#first) return;
    throw new DataError(
      `${where}: expected completions of one adapter, got those of "${this.#first}" and "${adapter}". Give the lines of one: ` +
        `grep -F ${shellWord(`"adapter":${JSON.stringify(value["adapter"])}`)} ${shellWord(path)} > one.jsonl`,
    );
  }
}

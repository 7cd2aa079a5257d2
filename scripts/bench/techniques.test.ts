/** docs/memory.md says that each key of its table but those of GPUs alone is measured: there is a row for it. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { packageRoot } from "../../src/setup/places.ts";
import { type Technique, techniques } from "./techniques.ts";

/** Keys whose rows are not a variant of that name. */
const others: Readonly<Record<string, (row: Technique) => boolean>> = {
  use_peft: ({ mode }) => mode === "lora",
  max_tokens_per_micro_batch: ({ variant }) => variant.pairByPair === true,
};

/** Refused on a CPU, where the table is measured. */
const onGpus = ["offload_embedding"];

test("every key of the table of what saves memory has a row, and what a row is set beside comes before it", () => {
  const page = readFileSync(join(packageRoot, "docs/memory.md"), "utf8");
  const keys = [...page.matchAll(/^\| `(\w+): (\w+)` \|/gm)].map(([, key = "", value = ""]) => ({
    key,
    value,
  }));
  assert.ok(keys.length >= 11, `${keys.length} keys`);
  const missing = keys.filter(({ key, value }) => {
    const isRow = (row: Technique) => {
      const given = Object.entries(row.variant).find(([name]) => name === key)?.[1];
      return value === "N" ? given !== undefined : String(given) === value;
    };
    return !onGpus.includes(key) && !techniques.some(others[key] ?? isRow);
  });
  assert.deepEqual(missing, []);
  for (const [i, { against = techniques[0]?.name }] of techniques.entries()) {
    const before = techniques.slice(0, Math.max(1, i)).map(({ name }) => name);
    assert.ok(before.some((name) => name === against));
  }
});

/**
 * Bad input of every kind: each ends with an error that says where it is, what was expected and what to do; nothing that
 * was there before has changed, nothing half-written is left, and the command works once the input is fixed.
 */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { PreftuneError } from "../../src/base/errors.ts";
import { loadConfig } from "../../src/config/load-config.ts";
import { cpuMs } from "../support/cpu-time.ts";
import { filesOf, runFixture, runTraining, type Values } from "../support/runs.ts";
import { badAdapters } from "./bad-adapters.ts";
import { badConfigs } from "./bad-configs.ts";
import { badData } from "./bad-data.ts";
import type { BadInput, Place } from "./bad-input.ts";
import { badModels, hostileTemplates } from "./bad-models.ts";
import { badWeights } from "./bad-weights.ts";

const fixture = runFixture({ rows: 4, held: 2 });
const kinds: string[] = [];
after(() => {
  fixture[Symbol.dispose]();
  console.log(`${kinds.length} kinds of bad input refused: ${kinds.join("; ")}`);
});

const short: Values = {
  ...fixture.values,
  per_device_train_batch_size: 2,
  max_steps: 1,
  learning_rate: 1e-3,
};

/** A directory for a case. */
function placeFor(kind: string): Place {
  const dir = fixture.path(kind.replaceAll(/\W+/g, "-"));
  const path = (...parts: string[]) => join(dir, ...parts);
  mkdirSync(dir);
  cpSync(fixture.values["model_name_or_path"] as string, path("model"), { recursive: true });
  return { dir, model: path("model"), path };
}

function assertSays(error: unknown, { error: kind, says }: Pick<BadInput, "error" | "says">): void {
  assert.ok(error instanceof PreftuneError, `expected an error of preftune's own, got ${error}`);
  assert.ok(error instanceof kind, `expected ${kind.name}, got ${error.name}: ${error.message}`);
  for (const pattern of says) assert.match(error.message, pattern);
  assert.ok(error.message.length < 3000, `the message has ${error.message.length} characters`);
}

/** What a run that took no step may leave in its directory: what it was asked for, what it found, its log. */
const beginnings =
  /^(run\.json|config\.yaml|log\.jsonl|preflight\.json|fingerprints\.json|template-date\.json)$/;

function withoutRun(dir: string): Record<string, string> {
  const files = Object.entries(filesOf(dir));
  return Object.fromEntries(files.filter(([name]) => name !== "out" && !name.startsWith("out/")));
}

function refuses(bad: BadInput): void {
  test(`refused: ${bad.kind}`, async () => {
    const place = placeFor(bad.kind);
    const good: Values = { ...short, model_name_or_path: place.model, output_dir: place.path("out") };
    const values = { ...good, ...bad.spoil(place) };
    const before = filesOf(place.dir);
    await assert.rejects(runTraining(values), (error) => {
      assertSays(error, bad);
      return true;
    });
    assert.deepEqual(withoutRun(place.dir), before);
    const left = Object.keys(filesOf(place.path("out")));
    assert.deepEqual(
      left.filter((name) => !beginnings.test(name)),
      [],
    );
    const fixed = { ...good, model_name_or_path: fixture.values["model_name_or_path"] };
    const { summary } = await runTraining(fixed);
    assert.equal(summary.reason, "done");
    rmSync(place.dir, { recursive: true });
    kinds.push(bad.kind);
  });
}

for (const bad of badConfigs) {
  test(`refused: configuration with ${bad.kind}`, () => {
    const place = placeFor(`configuration ${bad.kind}`);
    const output = bad.kind === "output over the model" ? place.model : place.path("out");
    const good = [
      `model_name_or_path: ${place.model}`,
      "train_data: rows.jsonl",
      `output_dir: ${output}`,
      "",
      "",
    ];
    const file = place.path("run.yaml");
    writeFileSync(file, bad.whole === true ? bad.text : good.join("\n") + bad.text);
    const before = filesOf(place.dir);
    const took = cpuMs(() => {
      assert.throws(
        () => loadConfig({ file }),
        (error) => {
          assertSays(error, bad);
          return true;
        },
      );
    });
    assert.ok(took < 2000, "took more than two seconds");
    assert.deepEqual(filesOf(place.dir), before);
    kinds.push(`configuration with ${bad.kind}`);
  });
}

for (const bad of [...badData, ...badModels, ...badWeights, ...badAdapters, ...hostileTemplates])
  refuses(bad);

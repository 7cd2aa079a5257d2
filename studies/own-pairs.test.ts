/** Pairs of a model's own answers: what makes one, that a study trains on them, and what is refused. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { RolloutGroup } from "preftune/online";
import { runFixture } from "../test/support/runs.ts";
import { tinyStudy } from "../test/support/study.ts";
import { pairsIn } from "./own-pairs.ts";
import { study } from "./study.ts";

/** A prompt and its completions, each token standing for its letter. */
function group(prompt: unknown, completions: readonly string[], columns = {}): RolloutGroup {
  return {
    index: 0,
    example: { reward: { prompt, columns } } as RolloutGroup["example"],
    completions: completions.map((text) => ({
      ids: [...text].map((letter) => letter.charCodeAt(0)),
      ended: true,
      logps: new Float32Array(text.length),
      kept: null,
    })),
  };
}

const textOf = (ids: readonly number[]): string => String.fromCharCode(...ids);

test("the first best and the first worst answer are a pair; equal rewards, unscored and empty answers are none", () => {
  const groups = [
    group("p", ["a", "b", "c", "d"]),
    group("q", ["a", "b"]),
    group([{ role: "user", content: "r" }], ["a", " ", "c", "d"], { tools: [1], other: 2 }),
    group("s", ["a", "b"]),
  ];
  const rewards = [1, 0, 0, 1, /* q */ 0.5, 0.5, /* r */ Number.NaN, 9, 2, 3, /* s */ 1, Number.NaN];
  const said = (content: string) => [{ role: "assistant", content }];
  assert.deepEqual(pairsIn({ groups, rewards }, textOf), [
    { prompt: "p", chosen: "a", rejected: "b" },
    { prompt: [{ role: "user", content: "r" }], chosen: said("d"), rejected: said("c"), tools: [1] },
  ]);
});

test("a study samples its pairs once, trains on them alone, and refuses to go on with others", async () => {
  using place = runFixture({ rows: 6, held: 4 });
  const rewards = place.path("rewards.mjs");
  writeFileSync(
    rewards,
    "export const short = ({ completion_ids }) => completion_ids.map((ids) => -ids.length);\n" +
      "export const alike = ({ completion_ids }) => completion_ids.map(() => 1);\n",
  );
  const of = (name: string, reward: string) => ({
    // the answers of random weights are bytes of no text, which take more tokens when they are read again
    ...tinyStudy(place, "geometry", { max_length: 400 }),
    output: place.path(name),
    ownAnswers: { reward: `${rewards}#${reward}` },
  });
  const told: string[] = [];
  const options = { ...of("own", "short"), out: { write: (text: string) => told.push(text) > 0 } };
  const { report, summary } = await study(options);
  assert.doesNotMatch(summary, /Failed/);
  assert.match(
    readFileSync(report, "utf8"),
    /own answers: of 8 to each prompt the best and the worst by short/,
  );
  const setup = (file: string): string => readFileSync(join(options.output, "setup", file), "utf8");
  const rows = setup("own.train.jsonl").trim().split("\n");
  assert.ok(rows.length > 0 && rows.length <= 6);
  assert.equal(setup("set-1-of-1.jsonl").trim().split("\n").length, rows.length);
  for (const row of rows) assert.deepEqual(Object.keys(JSON.parse(row)), ["prompt", "chosen", "rejected"]);
  assert.ok(told.some((line) => /^own answers: 6 of 6 training prompts, \d pairs/.test(line)));

  const before = setup("own.train.jsonl");
  told.length = 0;
  await study(options);
  assert.ok(!told.some((line) => line.startsWith("own answers")), "they are there");
  assert.equal(setup("own.train.jsonl"), before);

  const { train_data } = place.values;
  writeFileSync(String(train_data), readFileSync(String(train_data), "utf8").split("\n").slice(1).join("\n"));
  await assert.rejects(study(options), /own\.json: expected answers of the same model to the same prompts/);
  await assert.rejects(
    study(of("alike", "alike")),
    /#alike: expected prompts whose answers it tells apart, got none of 5: .* have equal rewards/,
  );
  await assert.rejects(study(of("none", "nothing")), /nothing/);
});

test("own answers are refused where nothing would train on them, or nothing tells them apart", async () => {
  using place = runFixture({ rows: 6, held: 4 });
  const own = { ownAnswers: { reward: null } };
  await assert.rejects(
    study({ ...tinyStudy(place, "anchoring"), ...own }),
    /anchoring trains on rows as they are: --own-answers has no effect here. It is for frontier, geometry\./,
  );
  await assert.rejects(
    study({ ...tinyStudy(place, "geometry"), ...own }),
    /--own-answers: expected a reward function that tells your model's answers apart/,
  );
});

/** Tests of sweep-file.ts and of the settings a sweep tries. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfigError } from "../base/errors.ts";
import { settingsOf } from "./sweep.ts";
import { drawValueOf, parseSweep, type SearchRange } from "./sweep-file.ts";

const base = "config: run.yaml\n";

function messageOf(text: string): string {
  try {
    parseSweep(text, "sweep.yaml");
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.message;
  }
  return assert.fail("accepted");
}

test("a grid takes every combination", () => {
  const sweep = parseSweep(
    `${base}parameters:\n  lambda_w: [0.1, 0.8]\n  kappa: [1, 2.5, 5]\nseeds: 2\n`,
    "sweep.yaml",
  );
  const settings = settingsOf(sweep);
  assert.equal(settings.length, 6);
  assert.deepEqual(settings[0], { lambda_w: 0.1, kappa: 1 });
  assert.equal(sweep.seeds, 2);
  assert.equal(sweep.metric, "accuracy");
});

test("random draws lie in their ranges, on their scale, and depend on the seed alone", () => {
  const text = `${base}method: random\nruns: 200\nparameters:\n  learning_rate: {min: 1e-6, max: 1e-2, scale: log}\n  objective: [slime, simpo]\n`;
  const rates = settingsOf(parseSweep(text, "s")).map((one) => one["learning_rate"] as number);
  assert.ok(rates.every((rate) => rate >= 1e-6 && rate <= 1e-2));
  const small = rates.filter((rate) => rate < 1e-4).length / rates.length;
  assert.ok(small > 0.35 && small < 0.65, `${small} below the middle of the scale`);
  assert.deepEqual(settingsOf(parseSweep(text, "s")), settingsOf(parseSweep(text, "s")));
  assert.notDeepEqual(settingsOf(parseSweep(`${text}seed: 2\n`, "s")), settingsOf(parseSweep(text, "s")));
});

test("of a whole-number key whole numbers are drawn, of others what lies between too", () => {
  const text = `${base}method: random\nruns: 40\nparameters:\n  lora_r: {min: 4, max: 64, scale: log}\n  kappa: {min: 1, max: 5}\n`;
  const settings = settingsOf(parseSweep(text, "s"));
  const ranks = settings.map((one) => Number(one["lora_r"]));
  assert.ok(
    ranks.every((rank) => Number.isInteger(rank) && rank >= 4 && rank <= 64),
    String(ranks),
  );
  assert.ok(new Set(ranks).size > 10);
  assert.ok(settings.some(({ kappa }) => !Number.isInteger(kappa)));
});

test("the ends of a whole-number range are drawn as often as what lies between", () => {
  const shares = Array.from({ length: 4000 }, (_, i) => (i + 0.5) / 4000);
  const counts = (range: SearchRange) =>
    Map.groupBy(
      shares.map((share) => drawValueOf("lora_r", range, share)),
      (rank) => rank,
    );
  const linear = counts({ min: 2, max: 5, scale: "linear" });
  assert.deepEqual(
    [...linear].map(([rank, { length }]) => [rank, length]),
    [2, 3, 4, 5].map((rank) => [rank, 1000]),
  );
  // beyond six digits, to which draws are rounded, too
  const long = counts({ min: 1_234_564, max: 1_234_565, scale: "linear" });
  assert.deepEqual(
    [...long].map(([rank, { length }]) => [rank, length]),
    [1_234_564, 1_234_565].map((rank) => [rank, 2000]),
  );
  // on a logarithmic scale each has what it takes of that
  const log = counts({ min: 1, max: 4, scale: "log" });
  const expected = [1, 2, 3, 4].map((rank) => (4000 * Math.log((rank + 0.5) / (rank - 0.5))) / Math.log(9));
  for (const [i, want] of expected.entries())
    assert.ok(
      Math.abs((log.get(i + 1)?.length ?? 0) - want) <= 1,
      `rank ${i + 1}: ${log.get(i + 1)?.length} of ${want}`,
    );
});

test("unknown keys and wrong values are named with their line, and a likely meaning", () => {
  const text = `${base}parameters:\n  lamda_w: [0.1]\n  kappa: [0]\n  delta: 3\nmetod: grid\nlearning_rate: 1e-4\n`;
  const message = messageOf(text);
  assert.match(message, /sweep\.yaml:3: unknown key "lamda_w"\. Did you mean "lambda_w"\?/);
  assert.match(
    message,
    /sweep\.yaml:4: kappa: expected a number above 0.*got the number 0|sweep\.yaml:4: kappa: expected/,
  );
  assert.match(message, /sweep\.yaml:5: delta: expected a list of values or/);
  assert.match(message, /unknown key "metod"\. Did you mean "method"\?/);
  assert.match(
    message,
    /"learning_rate"\. It is a key of the configuration: put it under values or parameters/,
  );
});

test("a hyperparameter takes what any method that has it takes, and nothing else", () => {
  const given = (objective: string, parameters: string): string =>
    `${base}values:\n  objective: ${objective}\nparameters:\n  ${parameters}\n`;
  for (const [objective, parameters] of [
    ["grpo", "loss_type: [dapo, dr_grpo, cispo]"],
    ["grpo", "beta: [0, 0.04]"],
    ["kto", "loss_type: [kto, apo_zero_unpaired]"],
    ["dpo", "loss_type: [sigmoid, ipo]"],
  ] as const)
    assert.doesNotThrow(() => parseSweep(given(objective, parameters), "sweep.yaml"), parameters);
  assert.match(messageOf(given("grpo", "loss_type: [dapoo]")), /sweep\.yaml:5: loss_type: expected .*dapo/);
});

test("what does not go together is refused", () => {
  const ranged = "parameters:\n  kappa: {min: 1, max: 5}\n";
  assert.match(messageOf(`${base}${ranged}`), /a range has no grid/);
  assert.match(
    messageOf(`${base}method: random\nleast: 3\n${ranged}`),
    /least has no effect without method: halving/,
  );
  assert.match(
    messageOf(`${base}method: halving\n${ranged}`),
    /resource is missing.*\n.*least is missing.*\n.*most is missing/,
  );
  assert.match(
    messageOf(`${base}method: halving\nresource: max_steps\nleast: 9\nmost: 3\n${ranged}`),
    /most: expected more than least \(9\), got 3/,
  );
  const steps = `${base}method: halving\nresource: max_steps\n${ranged}least: 1.5\nmost: 9\n`;
  assert.match(
    messageOf(steps),
    /sweep\.yaml:6: least: expected a whole number of max_steps, got the number 1\.5/,
  );
  assert.doesNotThrow(() => parseSweep(steps.replace("max_steps", "num_train_epochs"), "sweep.yaml"));
  assert.match(messageOf(`${ranged}method: random\n`), /expected config \(a file\) or values/);
  assert.match(
    messageOf(`${base}method: random\n${ranged}values:\n  kappa: 2\n`),
    /kappa is among parameters too/,
  );
  assert.match(messageOf(`${base}method: random\nmetric: acuracy\n${ranged}`), /Did you mean "accuracy"\?/);
  assert.match(messageOf(`${base}parameters:\n  seed: [1, 2]\n`), /each run has its own seed: take it out/);
  const own = "values:\n  seed: 7\n  output_dir: x\n  resume_from_checkpoint: latest\n";
  assert.match(
    messageOf(`${base}method: random\n${own}${ranged}`),
    /:4: each run has its own seed: .* seeds: N of a sweep.*\n.*:5: each run has its own output_dir: .*--output.*\n.*:6: each run has its own resume_from_checkpoint: /,
  );
  assert.match(
    messageOf(`${base}method: random\nparameters:\n  kappa: {min: 0, max: 5, scale: log}\n`),
    /kappa: expected a min above 0, as scale is log, got the mapping/,
  );
  assert.match(
    messageOf(`${base}method: random\nparameters:\n  kappa: {min: 5, max: 0.5, scale: log}\n`),
    /kappa: expected a min below max, got the mapping/,
  );
});

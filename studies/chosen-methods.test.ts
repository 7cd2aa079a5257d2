/** Some of a study's methods: with what their tables need, and the names that are refused. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { chosenMethods } from "./chosen-methods.ts";
import type { Asked } from "./definition.ts";
import { STUDIES } from "./studies.ts";

const asked: Asked = {
  ...{ budget: "quick", sets: [], prompts: null, learningRates: [1, 2], searched: null },
};

function chosen(name: keyof typeof STUDIES, ...methods: string[]): string[] {
  const definition = STUDIES[name];
  const conditions = definition.conditions(asked);
  return chosenMethods(name, definition, { conditions, methods }).map((condition) => condition.name);
}

test("a method comes with the curve, or with what it is compared with", () => {
  assert.deepEqual(
    [...new Set(chosen("frontier", "DPO").map((name) => name.split(" @ ")[0]))],
    ["SimPO", "SLIME λw 0.2", "SLIME λw 0.8", "SLIME λw 1.6", "likelihood (SFT)", "DPO"],
  );
  assert.deepEqual(chosen("long", "SimPO"), [
    "SLIME balanced @ 1",
    "SLIME balanced @ 2",
    "SimPO @ 1",
    "SimPO @ 2",
  ]);
  assert.deepEqual(chosen("stabiliser", "λl 0.1, δ 0.5"), ["λl 0", "λl 0.1, δ 0.5"]);
  const online = (...methods: string[]) => chosen("online", ...methods);
  assert.deepEqual(online("within 40 tokens: slime"), ["within 40 tokens: grpo", "within 40 tokens: slime"]);
  assert.equal(online("three bullets").length, online().length / 2);
  assert.throws(
    () => online("slime"),
    /expected one of online's methods, "within 40 tokens", "within 40 tokens: grpo", /,
  );
  assert.equal(chosen("long").length, STUDIES.long.conditions(asked).length);
});

test("a method that is not there, and a study whose tables are of all, are refused", () => {
  assert.throws(
    () => chosen("long", "SimPO", "simpo"),
    /--method: expected one of long's methods, "SLIME balanced", .*"SimPO", got "simpo"\./,
  );
  assert.throws(() => chosen("sensitivity", "SimPO"), /sensitivity makes its tables of all/);
});

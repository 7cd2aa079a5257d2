/** The hostile corpus of models and configurations: each case is refused with its sentence, within a second, in little memory. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { figure, isNightly } from "../support/campaign.ts";
import { configCases } from "../support/hostile/config-cases.ts";
import { faultsOf, HostileRunner, mebibytes } from "../support/hostile/hostile.ts";
import { tokenizerCases } from "../support/hostile/tokenizer-cases.ts";
import { templateCases, yamlCases } from "../support/hostile/yaml-cases.ts";

const all = [...tokenizerCases, ...configCases, ...yamlCases, ...templateCases];
const wanted = process.env["HOSTILE"];
const chosen = all.filter(({ name }) => name.includes(wanted ?? (isNightly ? "" : " is a named pipe")));

test("hostile models and configurations", async () => {
  using runner = new HostileRunner();
  const bad: string[] = [];
  let longest = 0;
  let most = 0;
  for (const each of chosen) {
    const outcome = await runner.run(each);
    const faults = faultsOf(each, outcome);
    longest = Math.max(longest, outcome.silentMs);
    most = Math.max(most, outcome.peakBytes - 2 * outcome.fileBytes);
    if (faults.length > 0) bad.push(`${each.name}: ${faults.join("; ")}`);
    console.log(
      `${faults.length > 0 ? "BAD " : ""}${each.name}: ${Math.round(outcome.totalMs)} ms, ${mebibytes(outcome.peakBytes)} MiB of ${mebibytes(outcome.fileBytes)}: ${faults.join("; ")} | ${outcome.error} ${outcome.message?.slice(0, 200)}`,
    );
  }
  assert.deepEqual(bad, []);
  figure(18, "x", `${longest} ${most}`, "y", true);
});

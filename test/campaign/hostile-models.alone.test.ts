/** The hostile corpus of models and configurations: each case is refused with its sentence, without a second of silence, in little memory. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { figure, isNightly } from "../support/campaign.ts";
import { configCases } from "../support/hostile/config-cases.ts";
import { bytesAbove, faultsOf, HostileRunner, mebibytes, type Outcome } from "../support/hostile/hostile.ts";
import { tokenizerCases } from "../support/hostile/tokenizer-cases.ts";
import { weightCases } from "../support/hostile/weight-cases.ts";
import { templateCases, yamlCases } from "../support/hostile/yaml-cases.ts";

/** A cheap case of every kind, in `npm test`. */
const short = [
  ...[
    / is a named pipe$/,
    / is \/dev\/zero$/,
    /a Split that backtracks$/,
    /a Replace by a million/,
    /token ids up to 2/,
  ],
  ...[/config\.json: a thousand million layers$/, /a hundred thousand shards$/, /by absolute path$/],
  ...[
    /entries in rank_pattern$/,
    /lora_target_modules/,
    /tensors that overlap$/,
    /20 GB of nothing$/,
    /a pickle/,
  ],
  ...[
    /1 MB of short keys$/,
    /a bomb of aliases$/,
    /nested by indentation$/,
    /loops without end$/,
    /doubles a text$/,
  ],
];
/** `HOSTILE=words` takes the cases with these words in their name. */
const wanted = process.env["HOSTILE"] ?? "";
const all = [...tokenizerCases, ...configCases, ...weightCases, ...yamlCases, ...templateCases];
const chosen = all.filter(
  ({ name }) =>
    name.includes(wanted) && (isNightly || wanted !== "" || short.some((kind) => kind.test(name))),
);

test("the short form has a case of every kind", () => {
  for (const kind of short)
    assert.ok(
      all.some(({ name }) => kind.test(name)),
      String(kind),
    );
});

/** What a refusal may take in all: half a second of it is the limit on the work of a template or a pattern. */
const longestMs = 3000;

function isSlow({ silentMs, totalMs }: Outcome): boolean {
  return silentMs > 1000 || totalMs > longestMs;
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`;

test("hostile models and configurations", async () => {
  assert.ok(chosen.length > 0, "no case is named so");
  using runner = new HostileRunner();
  const bad: string[] = [];
  let silent = 0;
  let longest = 0;
  let most = 0;
  for (const each of chosen) {
    let outcome = await runner.run(each);
    // A machine that was busy with something else in this second gets another.
    if (isNightly && isSlow(outcome)) outcome = await runner.run(each);
    const faults = faultsOf(each, outcome).filter((fault) => isNightly || !fault.includes("without a word"));
    if (isNightly && outcome.totalMs > longestMs) faults.push(`${seconds(outcome.totalMs)} to its end`);
    silent = Math.max(silent, outcome.silentMs);
    longest = Math.max(longest, outcome.totalMs);
    most = Math.max(most, bytesAbove(outcome));
    if (faults.length > 0) bad.push(`${each.name}: ${faults.join("; ")}: ${outcome.message?.slice(0, 300)}`);
    const [ms, peak, size] = [
      Math.round(outcome.totalMs),
      mebibytes(outcome.peakBytes),
      mebibytes(outcome.fileBytes),
    ];
    if (isNightly) console.log(`${each.name}: ${ms} ms, +${peak} MiB for ${size} MiB of files`);
  }
  assert.deepEqual(bad, []);
  const reached =
    `${chosen.length} cases, at most ${seconds(silent)} without a word and ${seconds(longest)} in all, ` +
    `memory at most twice the files + ${mebibytes(most)} MiB`;
  const goal = `each refused with its sentence, at most 1 s without a word and ${longestMs / 1000} s in all, memory at most twice the files + 64 MiB`;
  figure(
    19,
    "hostile models, tokenizers, templates and configurations, by the command line",
    reached,
    goal,
    bad.length === 0,
    "memory is held to twice the files and 64 MiB (first goal: less than 1 MiB allocated), since it is the memory of the process that is measured",
  );
});

/** The hostile corpus of data files: each case is refused with its sentence or tells how far it is, in little memory. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { figure, isNightly } from "../support/campaign.ts";
import { answerCases, replyCases, startHostileJudge } from "../support/hostile/answer-cases.ts";
import { dataCases } from "../support/hostile/data-cases.ts";
import { bytesAbove, faultsOf, HostileRunner, mebibytes } from "../support/hostile/hostile.ts";
import { parquetCases } from "../support/hostile/parquet-cases.ts";

/** A few of every kind that write little, in `npm test`. */
const short = [
  ...[/a named pipe$/, /300,000 columns/, /300,000 keys$/, /600,000 deep/, /2 GB of nothing/],
  ...[/100 KB of "\\\\/, /100 KB of "\[/, /100 KB of "array\(/, /gz: a line of 2 GB/],
  ...[/list of commas$/, /a number of 3 million digits$/, /Python's notation nested/, /zst: a line of 2 GB/],
  ...[
    /gzip in gzip/,
    /a directory with a named pipe$/,
    /rows: links in a circle$/,
    /zero\.jsonl/,
    /sqlite: text$/,
  ],
  ...[/answers: .* a line of dashes/, /reply: .* a tag that opens/, /parquet: a page of 2 GiB$/],
];
const wanted = process.env["HOSTILE"];
const isWanted = (name: string): boolean =>
  wanted === undefined ? isNightly || short.some((kind) => kind.test(name)) : name.includes(wanted);

const judge = await startHostileJudge();
after(() => judge[Symbol.asyncDispose]());
const allCases = [...dataCases, ...parquetCases, ...answerCases, ...replyCases(judge)];

test("the short form has a case of every kind", () => {
  for (const kind of short)
    assert.ok(
      allCases.some(({ name }) => kind.test(name)),
      String(kind),
    );
});

test("hostile data files", async () => {
  using runner = new HostileRunner();
  const cases = allCases.filter(({ name }) => isWanted(name));
  const bad: string[] = [];
  let silent = 0;
  let memory = 0;
  for (const each of cases) {
    let outcome = await runner.run(each);
    // A machine that was busy with something else in this second gets another.
    if (isNightly && outcome.silentMs > 1000) outcome = await runner.run(each);
    // Times and memory are held to their figures where the machine has nothing else to do.
    const faults = faultsOf(each, outcome).filter((fault) => isNightly || !/ s | MiB of memory/.test(fault));
    silent = Math.max(silent, outcome.silentMs);
    memory = Math.max(memory, bytesAbove(outcome));
    if (faults.length > 0) bad.push(`${each.name}: ${faults.join("; ")}`);
    const { totalMs, peakBytes, fileBytes, message } = outcome;
    if (isNightly || wanted !== undefined) {
      console.log(
        `${faults.length > 0 ? `BAD ${faults.join("; ")} ` : ""}${each.name}: ${Math.round(totalMs)} ms, ` +
          `silent ${Math.round(outcome.silentMs)} ms, ${mebibytes(peakBytes)} MiB for ${mebibytes(fileBytes)} MiB: ${message?.slice(0, 160)}`,
      );
    }
  }
  assert.deepEqual(bad, []);
  figure(
    19,
    "hostile data files: JSON, CSV, Parquet, gzip, zstd, directories, answers, judgments and a judge's replies",
    `${cases.length} cases, ${bad.length} without an end or a sentence, at most ${(silent / 1000).toFixed(2)} s without a word, ${mebibytes(memory)} MiB above twice the file and 1 KiB for each row kept`,
    "each ends within 1 s or shows progress; memory at most twice the file, 1 KiB for each row kept, and 64 MiB",
    bad.length === 0,
    "memory is held to twice the file, 1 KiB for each row kept, and 64 MiB (first goal: less than 1 MiB allocated), since it is the memory of the process that is measured, and rows are kept for the training",
  );
});

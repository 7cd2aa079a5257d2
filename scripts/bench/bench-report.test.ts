/** The page of a benchmark: ratios of single rounds, against the run of ours that came just before. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type ReportFacts, reportText, roundRatios } from "./bench-report.ts";
import type { Compared } from "./comparison.ts";
import { figuresOf } from "./results.ts";
import type { RunRecord } from "./run-record.ts";

const run = (seconds: number, cpu: number, peakMb: number): RunRecord => ({
  losses: [],
  // the first step is left out
  seconds: [9, seconds, seconds],
  cpuSeconds: [9, cpu, cpu],
  peakMb,
  bareMb: 100,
  gemmGflops: 100,
});

// two rounds, two peers: a run of ours before each of theirs
const records = {
  ours: [run(1, 1, 200), run(2, 1, 200), run(1, 2, 200), run(4, 1, 200)],
  dpo: [run(3, 4, 500), run(4, 5, 500)],
  simpo: [run(4, 2, 300), run(4, 3, 300)],
};
const work = [0, 1, 2].map(() => ({ pairs: 2, tokens: 100, flops: 5e10 }));
const trainer = (name: string, of: RunRecord[]) => figuresOf(name, of, work, { gemm: 1e11, threads: 1 });
const compared: Compared = {
  model: "bench",
  plan: { modelDir: "-", workload: "-", mode: "lora", pairs: 2, steps: 3, threads: 1 },
  variant: {},
  trainers: [
    trainer("preftune SLIME", records.ours),
    trainer("TRL DPO, live reference", records.dpo),
    trainer("TRL SimPO", records.simpo),
  ],
  ratios: [],
  gemm: { ours: { min: 1, median: 1, max: 1 }, peers: null },
  products: { gflops: 80, gemmGflops: 100 },
  records,
};

test("a peer's run is set beside the run of ours before it, round by round", () => {
  assert.deepEqual(roundRatios(compared, "dpo", "seconds"), [3, 4]);
  assert.deepEqual(roundRatios(compared, "simpo", "seconds"), [2, 1]);
  assert.deepEqual(roundRatios(compared, "simpo", "cpuSeconds"), [2, 3]);
});

test("the page says what machine, what it reaches, how busy it was, and each ratio with its spread", () => {
  const facts: ReportFacts = {
    processor: "Test CPU, family 1 model 2 (avx2)",
    instructionSets: "baseline, avx2",
    cores: 2,
    versions: "torch 2.13.0; Node 24",
    commit: "abc",
    load: [0.1, 1.25],
    masks: ["ATEN_CPU_CAPABILITY=avx2", "ONEDNN_MAX_CPU_ISA=AVX2"],
    peerVersions: { trl: "1.0", torch: "2.13.0" },
    settings: {
      ...{ optim: "adamw_8bit", keptMib: 64, steps: 3 },
      workload: { rows: 8, file: "/rows.jsonl", sha256: "0123456789abcdef" },
    },
    speeds: [
      { threads: 1, readGbPerSecond: 12.34, gemmGflops: 101, instructionSet: "avx2" },
      { threads: 2, readGbPerSecond: 20, gemmGflops: 199.6, instructionSet: "avx2" },
    ],
  };
  const text = reportText(facts, [compared]);
  assert.match(text, /^### Test CPU, family 1 model 2 \(avx2\)$/m);
  assert.match(text, /^\| Memory read \| 12\.3 GB\/s \(1 thread\), 20\.0 GB\/s \(2 threads\) \|$/m);
  assert.match(text, /^\| Load, before and after \| 0\.1, 1\.3 \|$/m);
  assert.match(text, /^\| Rounds \| 2, /m);
  const cell = (name: string, of: string) => new RegExp(`^\\| ${name} \\| (.*) \\|$`, "m").exec(of)?.[1];
  assert.equal(
    cell("Instruction sets", text),
    "baseline, avx2; the addon's own kernels use avx2; processes, the peers' too, are held by ATEN_CPU_CAPABILITY=avx2, ONEDNN_MAX_CPU_ISA=AVX2",
  );
  assert.equal(cell("Versions of the peers", text), "trl 1.0; torch 2.13.0");
  assert.equal(
    cell("Settings", text),
    "--optim adamw_8bit; --kept-mib 64; --steps 3 (the first is left out); --workload /rows.jsonl: 8 rows, SHA-256 0123456789ab",
  );
  const { workload } = facts.settings;
  const plain = { ...facts.settings, keptMib: null, workload: { ...workload, file: null } };
  const alone = reportText({ ...facts, settings: plain, masks: [], peerVersions: null }, [compared]);
  assert.match(cell("Settings", alone) ?? "", /--kept-mib automatic; .*; generated rows: 8 rows/);
  assert.equal(cell("Versions of the peers", alone), "none");
  const [own] = text.split("\n").filter((line) => line.includes("| preftune |"));
  assert.match(own ?? "", / \| 80 % \|$/);
  const simpo = text.split("\n").find((line) => line.startsWith("|  | TRL SimPO")) ?? "";
  assert.match(simpo, /\| 1\.00 \/ 1\.50 \/ 2\.00× \| 2\.00 \/ 2\.50 \/ 3\.00× \| 0\.50× \|/);
});

/**
 * `npm run bench [-- --tables peers,techniques,scaling,profile --model bench,bigvocab --mode full,lora --threads 1,2 --pairs N --steps N
 * --peers dpo,dpo_pre,simpo --rounds N --kept-mib N --optim NAME --workload FILE --report]`: our trainer against TRL's in turn on the same rows,
 * weights and settings; what each technique buys; how time and memory grow; where a step's time goes (profile.ts). All but the last by default.
 * `--report`: the first table alone, three rounds by default, as a page to set beside other machines' (bench-report.ts). `npm run bench -- distributed`: see ranks.ts; `-- gpu`: gpu.ts.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { counted } from "../../src/base/number-text.ts";
import type { RunConfig } from "../../src/config/run-config.ts";
import { processorName, readProcessor } from "../../src/setup/hardware.ts";
import { askedSet, featuresWithin, setsOf } from "../../src/setup/instruction-set.ts";
import { packageRoot } from "../../src/setup/places.ts";
import { recordedSetup } from "../../src/setup/set-up.ts";
import { type MachineSpeed, type ReportFacts, type ReportSettings, reportText } from "./bench-report.ts";
import { type Compared, compare, peerNames, workOf } from "./comparison.ts";
import { compareOnGpu } from "./gpu.ts";
import { heldMasks } from "./held-sets.ts";
import { benchFolder, measureHere, modelNamed, peersPython, peerVersions } from "./processes.ts";
import { type ProfileRow, profileTable, profileWork } from "./profile.ts";
import { listOf, load, machineText, runProgram, say, whole } from "./program.ts";
import { compareRanks } from "./ranks.ts";
import type { RunPlan, Variant } from "./run-record.ts";
import { measureScaling } from "./scaling.ts";
import { type ModelShape, shapes } from "./shapes.ts";
import { measureTechniques } from "./techniques.ts";
import { generatedRows, readRows, type WorkloadRow } from "./workload.ts";

// above this load of other programs their work takes time from the runs
const busyLoad = 0.5;
const ownRows = join(benchFolder, "workload.jsonl");

interface Choice {
  report: boolean;
  tables: string[];
  models: string[];
  modes: string[];
  threads: number[];
  peers: string[];
  pairs: number | null;
  steps: number;
  rounds: number;
  /** `logits_kept_mib` of our runs; null for automatic. */
  keptMib: number | null;
  /** Of our runs. */
  optim: RunConfig["optim"];
  workload: string;
}

function readChoice(): Choice {
  const all = availableParallelism();
  const { values } = parseArgs({
    options: {
      tables: { type: "string" },
      model: { type: "string", default: "bench,bigvocab" },
      mode: { type: "string", default: "full,lora" },
      threads: { type: "string", default: all > 1 ? `1,${all}` : "1" },
      peers: { type: "string", default: Object.keys(peerNames).join(",") },
      pairs: { type: "string" },
      // the first step is left out
      steps: { type: "string", default: "6" },
      rounds: { type: "string" },
      report: { type: "boolean", default: false },
      "kept-mib": { type: "string" },
      optim: { type: "string", default: "adamw_torch_fused" },
      workload: { type: "string", default: ownRows },
    },
  });
  const { report } = values;
  return {
    report,
    tables: listOf("tables", values.tables ?? (report ? "peers" : "peers,techniques,scaling"), [
      "peers",
      "techniques",
      "scaling",
      "profile",
    ]),
    models: listOf("model", values.model, Object.keys(shapes)),
    modes: listOf("mode", values.mode, ["full", "lora"]),
    threads: values.threads.split(",").map((text) => whole("threads", text, 1)),
    peers: listOf("peers", values.peers, Object.keys(peerNames)),
    pairs: values.pairs === undefined ? null : whole("pairs", values.pairs, 1),
    steps: whole("steps", values.steps, 2),
    rounds: whole("rounds", values.rounds ?? (report ? "3" : "1"), 1),
    keptMib: values["kept-mib"] === undefined ? null : whole("kept-mib", values["kept-mib"], 0),
    optim: listOf("optim", values.optim, [
      "adamw_torch_fused",
      "adamw_bf16",
      "adamw_8bit",
    ])[0] as RunConfig["optim"],
    workload: resolve(values.workload),
  };
}

function planOf(choice: Choice, model: string, mode: string, threads: number): RunPlan {
  return {
    modelDir: join(benchFolder, model),
    workload: choice.workload,
    mode: mode as RunPlan["mode"],
    pairs: choice.pairs ?? (model === "bigvocab" ? 1 : 2),
    steps: choice.steps,
    threads,
  };
}

/** Writes models and rows once; a later run finds them. */
function prepare({ models, workload }: Choice): WorkloadRow[] {
  mkdirSync(benchFolder, { recursive: true });
  for (const model of new Set([...models, "bench"])) modelNamed(model);
  if (workload === ownRows) {
    const lines = generatedRows(0).map((row) => JSON.stringify(row));
    writeFileSync(ownRows, `${lines.join("\n")}\n`);
  }
  return readRows(workload);
}

function variantOf({ optim, keptMib }: Choice): Variant {
  return { optim, ...(keptMib === null ? {} : { logits_kept_mib: keptMib }) };
}

/** Calls `each` for all works that were chosen, one after another. */
function works<Result>(
  choice: Choice,
  each: (work: { model: string; shape: ModelShape; plan: RunPlan }) => Result,
): Result[] {
  return choice.threads.flatMap((threads) =>
    choice.models.flatMap((model) =>
      choice.modes.map((mode) =>
        each({ model, shape: shapes[model] as ModelShape, plan: planOf(choice, model, mode, threads) }),
      ),
    ),
  );
}

function comparePeers(choice: Choice, rows: readonly WorkloadRow[]): Compared[] {
  const python = peersPython();
  if (python === null) say("No peers: `npm run bench:peers` installs them. Our own trainer alone:");
  const { peers, rounds } = choice;
  const base = { rows, peers, rounds, python, variant: variantOf(choice) };
  return works(choice, (work) => {
    // a run's own threads count into the load
    const isBusy = () => load() > work.plan.threads + busyLoad;
    return compare({ ...base, ...work }, say, isBusy);
  });
}

function profileSteps(choice: Choice, rows: readonly WorkloadRow[]): ProfileRow[] {
  const variant = variantOf(choice);
  const profiled = works(choice, ({ model, shape, plan }) => {
    const name = `${model}, ${plan.mode}, ${counted(plan.threads, "thread")}`;
    say(`profile: ${name}`);
    return profileWork(name, { ...plan, objective: "slime", variant }, workOf({ rows, plan, shape }));
  });
  say(`\n${profileTable(profiled)}`);
  return profiled;
}

function settingsOf({ optim, keptMib, steps, workload }: Choice, rows: number): ReportSettings {
  const sha256 = createHash("sha256").update(readFileSync(workload)).digest("hex");
  const file = workload === ownRows ? null : workload;
  return { optim, keptMib, steps, workload: { rows, file, sha256 } };
}

function factsOf({ threads }: Choice, settings: ReportSettings, before: number): ReportFacts {
  const { features, usableCores } = readProcessor();
  const asked = askedSet(features);
  const sets = setsOf(asked === null ? features : featuresWithin(asked, features));
  const torch = recordedSetup().record?.torch.version ?? "?";
  const python = peersPython();
  return {
    processor: processorName(),
    instructionSets: `${sets.join(", ")}${asked === null ? "" : " (PREFTUNE_ISA)"}`,
    masks: heldMasks(),
    cores: usableCores,
    versions: `torch ${torch}; Node ${process.versions.node}`,
    peerVersions: python === null ? null : peerVersions(python),
    settings,
    commit: commitName(),
    load: [before, load()],
    speeds: [...new Set(threads)].map(
      (count): MachineSpeed => measureHere("machine-child.ts", { threads: count }),
    ),
  };
}

function commitName(): string {
  const { status, stdout } = spawnSync("git", ["describe", "--always", "--dirty"], {
    cwd: packageRoot,
    encoding: "utf8",
  });
  return status === 0 ? stdout.trim() : "not a checkout of git";
}

function main(): void {
  const choice = readChoice();
  const rows = prepare(choice);
  const machine = machineText();
  const before = load();
  say(machine);
  const [first = 1] = choice.threads;
  const has = (table: string) => choice.tables.includes(table);
  const settings = settingsOf(choice, rows.length);
  const results = {
    machine,
    settings,
    peers: has("peers") ? comparePeers(choice, rows) : [],
    techniques: has("techniques")
      ? measureTechniques(
          { ...planOf(choice, "bench", "full", first), pairs: choice.pairs ?? 4, steps: 4 },
          say,
        )
      : [],
    profile: has("profile") ? profileSteps(choice, rows) : [],
    scaling: has("scaling") ? measureScaling(benchFolder, first, say) : [],
  };
  const facts = choice.report ? factsOf(choice, settings, before) : null;
  const file = join(benchFolder, `results-${Date.now()}.json`);
  writeFileSync(file, `${JSON.stringify({ ...results, facts }, null, 2)}\n`);
  say(`\nwritten: ${file}`);
  if (facts === null) return;
  const page = reportText(facts, results.peers);
  const pageFile = file.replace(/\.json$/, ".md");
  writeFileSync(pageFile, page);
  say(`\n${page}\nwritten: ${pageFile}`);
}

const [table, ...options] = process.argv.slice(2);
const programs: Record<string, () => void> = {
  distributed: () => compareRanks(options),
  gpu: () => compareOnGpu(options),
};
runProgram(programs[table ?? ""] ?? main);

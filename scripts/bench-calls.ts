/**
 * Cost of one operator call, `add` of two 2×2 tensors, here and in Python, measured in turns in one run.
 *
 *   node scripts/bench-calls.ts [--rounds 7] [--calls 200000]
 *
 * Python is PREFTUNE_PEERS_PYTHON, the project's own, or `python3` of the path, whichever has torch first; without one
 * only this side is measured.
 */
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import { parseArgs } from "node:util";
import { noGrad, ops, scope, setThreads, tensor, torchVersion } from "../src/torch/index.ts";

// The loop both sides run: results are freed as they are in use, here by scopes, there by reference counts.
const pythonLoop = `
import sys, time, torch
torch.set_num_threads(1)
x = torch.tensor([[1.0, 2.0], [3.0, 4.0]]); y = x.clone()
print(torch.__version__, flush=True)
for line in sys.stdin:
    n = int(line)
    with torch.no_grad():
        start = time.perf_counter()
        for _ in range(n):
            torch.add(x, y)
        print((time.perf_counter() - start) * 1e6 / n, flush=True)
`;

function findPython(): string | null {
  const own = join(import.meta.dirname, "../.preftune/peers/bin/python");
  const candidates = [process.env["PREFTUNE_PEERS_PYTHON"] ?? "", existsSync(own) ? own : "", "python3"];
  const hasTorch = (python: string) => spawnSync(python, ["-c", "import torch"]).status === 0;
  return candidates.find((python) => python !== "" && hasTorch(python)) ?? null;
}

/** A Python process that measures on request. */
class PythonSide {
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #reader: Interface;
  readonly #lines: AsyncIterator<string>;

  constructor(python: string) {
    this.#process = spawn(python, ["-c", pythonLoop]);
    this.#process.stderr.pipe(process.stderr);
    this.#reader = createInterface({ input: this.#process.stdout });
    this.#lines = this.#reader[Symbol.asyncIterator]();
  }

  async nextLine(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error("the Python process ended before its time");
    return value;
  }

  async measure(calls: number): Promise<number> {
    this.#process.stdin.write(`${calls}\n`);
    return Number(await this.nextLine());
  }

  end(): void {
    this.#process.stdin.end();
    this.#reader.close();
  }
}

/** Microseconds a call, here. */
function measureHere(calls: number): number {
  const x = tensor([1, 2, 3, 4], [2, 2]);
  const y = tensor([1, 2, 3, 4], [2, 2]);
  const perScope = 100;
  return noGrad(() => {
    const start = performance.now();
    for (let done = 0; done < calls; done += perScope) {
      using _ = scope();
      for (let i = 0; i < perScope; i++) ops.add(x, y);
    }
    return ((performance.now() - start) * 1000) / calls;
  });
}

interface Summary {
  min: number;
  median: number;
  max: number;
}

function summarise(values: readonly number[]): Summary {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))] ?? Number.NaN;
  return { min: at(0), median: at(0.5), max: at(1) };
}

function row(name: string, { min, median, max }: Summary): string {
  return [name.padEnd(24), ...[min, median, max].map((x) => x.toFixed(2).padStart(8))].join("");
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { rounds: { type: "string", default: "7" }, calls: { type: "string", default: "200000" } },
  });
  const [rounds, calls] = [Number(values.rounds), Number(values.calls)];
  setThreads(1);
  const python = findPython();
  const side = python === null ? null : new PythonSide(python);
  const version = (await side?.nextLine()) ?? "";
  const [here, there]: [number[], number[]] = [[], []];
  // the first round warms both sides up and does not count
  for (let round = 0; round <= rounds; round++) {
    const own = measureHere(calls);
    const other = await side?.measure(calls);
    if (round === 0) continue;
    here.push(own);
    if (other !== undefined) there.push(other);
  }
  side?.end();
  console.log(
    `add of two 2×2 float32 tensors, ${rounds} rounds of ${calls} calls, one thread; microseconds a call`,
  );
  console.log(["".padEnd(24), "     min", "  median", "     max"].join(""));
  const [ours, theirs] = [summarise(here), summarise(there)];
  console.log(row(`preftune, torch ${torchVersion()}`, ours));
  if (side === null) console.log("no Python with torch found: set PREFTUNE_PEERS_PYTHON to compare");
  else {
    console.log(row(`Python, torch ${version}`, theirs));
    console.log(`ratio of the medians: ${(ours.median / theirs.median).toFixed(2)}`);
  }
}

await main();

/** Holds a process where it opens a file (gate-shim.c), for tests of what others do meanwhile. */
import { spawnSync } from "node:child_process";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { findCompiler } from "../../src/setup/compiler.ts";
import type { Variables } from "./rank-processes.ts";

/** Compiles the shim into `folder`; why that cannot be, else false. */
export function compileGate(folder: string): string | false {
  if (process.platform !== "linux") return "the shim is for Linux";
  const compiler = findCompiler();
  if (compiler === null) return "there is no compiler for the shim";
  const flags = ["-x", "c", "-shared", "-fPIC", "-O1", join(import.meta.dirname, "gate-shim.c")];
  const command = [...compiler.prefix, ...flags, "-o", join(folder, "gate.so"), "-ldl"];
  const { status, stderr } = spawnSync(compiler.path, command, { encoding: "utf8" });
  if (status !== 0) throw new Error(stderr);
  return false;
}

/** A closed gate. */
export class Gate {
  readonly #path: string;
  readonly #shim: string;

  /** @param folder - where the shim was compiled */
  constructor(folder: string, name: string) {
    this.#path = join(folder, `gate-${name}`);
    this.#shim = join(folder, "gate.so");
    writeFileSync(this.#path, "");
  }

  /** Variables of a process that is held where it opens, for the `at`-th time, a file whose path contains `on`. */
  variables(on: string, at: number): Variables {
    return { LD_PRELOAD: this.#shim, GATE: this.#path, GATE_ON: on, GATE_AT: String(at) };
  }

  /** Resolves once a process is held, or the gate is open. */
  async met(): Promise<void> {
    while (!existsSync(`${this.#path}.met`) && existsSync(this.#path)) await sleep(20);
  }

  open(): void {
    rmSync(this.#path, { force: true });
  }
}

/** Holds a process where it opens a file (gate-shim.c), for tests of what others do meanwhile. */
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Variables } from "./rank-processes.ts";
import { compileShim } from "./shim.ts";

/** Compiles the shim into `folder`; why that cannot be, else false. */
export function compileGate(folder: string): string | false {
  return compileShim("gate-shim.c", join(folder, "gate.so"));
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

  /** {@link met} waits for the next process that is held. */
  forgetMet(): void {
    rmSync(`${this.#path}.met`, { force: true });
  }

  open(): void {
    rmSync(this.#path, { force: true });
  }
}

/** Where tests write much and sync often. */
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { freeBytes } from "../../src/base/files.ts";

/** A folder in memory where there is room, unless TMPDIR says otherwise. */
export function scratch(): string {
  const memory = "/dev/shm";
  const isRoomy = process.env["TMPDIR"] === undefined && existsSync(memory) && freeBytes(memory) > 2 ** 29;
  return isRoomy ? memory : tmpdir();
}

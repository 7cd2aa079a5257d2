/** What the system holds of files in memory: which of their pages were read. */
import { execFileSync, spawnSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Has the system forget the pages of a file. */
export function forgetPages(file: string): void {
  execFileSync("dd", [`of=${file}`, "oflag=nocache", "conv=notrunc,fdatasync", "count=0", "status=none"]);
}

/** Bytes of a file that the system holds in memory. */
export function pagesOf(file: string): number {
  return Number(
    execFileSync("fincore", ["--bytes", "--noheadings", "--output", "RES", file], { encoding: "utf8" }),
  );
}

/** Why pages cannot be counted here; false where they can. */
export function skipWithoutPages(): string | false {
  if (spawnSync("fincore", ["--version"]).status !== 0) return "fincore of util-linux is not there";
  const file = join(tmpdir(), `preftune-pages-${process.pid}`);
  writeFileSync(file, new Uint8Array(2 ** 20));
  forgetPages(file);
  const left = pagesOf(file);
  rmSync(file);
  return left === 0 ? false : `${tmpdir()} keeps files in memory`;
}

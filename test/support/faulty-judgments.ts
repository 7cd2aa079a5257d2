/**
 * Child program of test/campaign/faults-judgments.test.ts, run with fault-shim.c before it: `faults` lets each system call of
 * keeping judgments fail in turn, `log` keeps some while the shim logs. Prints a line of JSON.
 */
import { mkdirSync, openSync, rmSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { FileError } from "../../src/base/errors.ts";
import { JudgmentStore } from "../../src/evaluate/judge/judgment-store.ts";

const root = process.env["FAULT_ROOT"] as string;
const label = { model: "rule", messages: "[]" };

/** Texts of several pages, so that one judgment is more than one write. */
export const textOf = (key: string): string => `${key} `.repeat(3000);

function tell(name: string): boolean {
  try {
    openSync(join(root, name), "r");
  } catch (error) {
    return (error as { code?: string }).code === "EEXIST";
  }
  throw new Error("the shim is not there");
}

function put(store: JudgmentStore, key: string): void {
  store.put(key, label, { text: textOf(key), finishReason: "stop", usage: null });
}

/** Keys that are not as they were put in. */
function missing(path: string, keys: readonly string[]): string[] {
  using store = new JudgmentStore(path);
  return keys.filter((key) => store.get(key)?.text !== textOf(key));
}

/** One call fails; gives what is wrong, or null, and whether there was such a call. */
function failOne(code: number, at: number): { wrong: string | null; failed: boolean } {
  const dir = join(root, `${code}-${at}`);
  mkdirSync(dir);
  const path = join(dir, "judgments.sqlite");
  const kept = ["one", "two"];
  const first = new JudgmentStore(path);
  for (const key of kept) put(first, key);
  first.close();
  let wrong: string | null = null;
  let store: JudgmentStore | null = null;
  tell(`.arm/${code}/${at}`);
  try {
    store = new JudgmentStore(path);
    for (const key of ["three", "four"]) {
      put(store, key);
      kept.push(key);
    }
    store.close();
    store = null;
  } catch (error) {
    const { message } = error as Error;
    // of the folder, where that could not be made or synced
    const isReported =
      error instanceof FileError &&
      error.exitCode === 5 &&
      message.includes(path) &&
      /Free space/.test(message);
    if (!isReported) wrong = `reported as ${(error as Error).stack}`;
  }
  const failed = tell(".disarm");
  store?.close();
  const lost = missing(path, kept);
  if (lost.length > 0) wrong ??= `lost ${lost}`;
  using again = new JudgmentStore(path);
  for (const key of ["three", "four"]) put(again, key);
  again.close();
  const still = missing(path, ["one", "two", "three", "four"]);
  if (still.length > 0) wrong ??= `not kept when asked again: ${still}`;
  rmSync(dir, { recursive: true });
  return { wrong, failed };
}

function faults(): void {
  const { ENOSPC, EIO, EDQUOT, EROFS, EMFILE } = constants.errno;
  const wrong: string[] = [];
  let calls = 0;
  for (const [name, code] of Object.entries({ ENOSPC, EIO, EDQUOT, EROFS, EMFILE })) {
    for (let at = 1; ; at++) {
      const outcome = failOne(code, at);
      if (outcome.wrong !== null) wrong.push(`${name} at call ${at}: ${outcome.wrong}`);
      if (!outcome.failed) break;
      calls += 1;
    }
  }
  process.stdout.write(`${JSON.stringify({ calls, wrong })}\n`);
}

function log(): void {
  const path = join(root, "judgments.sqlite");
  for (const keys of [["one", "two"], ["three"], ["four", "five"]]) {
    const store = new JudgmentStore(path);
    for (const key of keys) {
      put(store, key);
      tell(`.mark/${key}`);
    }
    store.close();
  }
}

if (process.argv[2] === "faults") faults();
else if (process.argv[2] === "log") log();

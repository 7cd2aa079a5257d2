/** Ways to spoil a place of the hostile corpus. */
import { execFileSync } from "node:child_process";
import { closeSync, openSync, readFileSync, rmSync, symlinkSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";

/** A JSON object of unknown content. */
export type Json = Record<string, unknown>;

/** Sets members of a JSON file of the place's model. */
export function setJson(dir: string, name: string, values: Json): void {
  const path = join(dir, "model", name);
  writeFileSync(path, JSON.stringify({ ...(JSON.parse(readFileSync(path, "utf8")) as Json), ...values }));
}

/** Sets members of the model in tokenizer.json. */
export function setTokenizerModel(dir: string, change: (model: Json) => Json): void {
  const { model } = JSON.parse(readFileSync(join(dir, "model", "tokenizer.json"), "utf8")) as { model: Json };
  setJson(dir, "tokenizer.json", { model: { ...model, ...change(model) } });
}

/** Writes pieces of text one after the other, so that a large file needs little memory here. */
export function writePieces(path: string, pieces: Iterable<string>): void {
  rmSync(path, { force: true });
  const fd = openSync(path, "w");
  let held = "";
  for (const piece of pieces) {
    held += piece;
    if (held.length < 2 ** 20) continue;
    writeSync(fd, held);
    held = "";
  }
  writeSync(fd, held);
  closeSync(fd);
}

/** The members of a JSON object or list, written by `member`, between its brackets. */
export function* many(
  count: number,
  member: (i: number) => string,
  brackets: "{}" | "[]" = "{}",
): Generator<string> {
  yield brackets.slice(0, 1);
  for (let i = 0; i < count; i++) yield `${i === 0 ? "" : ","}${member(i)}`;
  yield brackets.slice(1);
}

/** Puts a named pipe in place of a file. */
export function pipeInstead(path: string): void {
  rmSync(path, { force: true });
  execFileSync("mkfifo", [path]);
}

/** Puts a link in place of a file. */
export function linkInstead(path: string, target: string): void {
  rmSync(path, { force: true });
  symlinkSync(target, path);
}

/** Adds lines to the configuration. */
export function configure(dir: string, ...lines: string[]): void {
  writeFileSync(join(dir, "run.yaml"), `${readFileSync(join(dir, "run.yaml"), "utf8")}${lines.join("\n")}\n`);
}

/** Rows of prompts: those of a data file, the lines of a text file, or what comes on standard input. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { text } from "node:stream/consumers";
import { ConfigError } from "../base/errors.ts";
import { readTextFile, remove, writeFileAtomic } from "../base/files.ts";
import type { RawRow } from "../data/example.ts";
import { readRows } from "../data/sources.ts";

/** What stands for standard input in place of a path. */
const standardInput = "-";

/**
 * The rows in `path`: a data file; a `.txt`, of which each line that is not blank is a prompt; or "-", standard input, which is
 * JSON lines where it begins with "{" and prompts line by line otherwise.
 *
 * @throws {ConfigError} if standard input is a terminal
 */
export async function* promptRows(path: string): AsyncGenerator<RawRow> {
  if (path === standardInput) yield* inputRows();
  else if (path.endsWith(".txt")) yield* textRows(readTextFile(path), path);
  else yield* readRows({ path });
}

function* textRows(content: string, file: string): Generator<RawRow> {
  for (const [i, line] of content.split(/\r\n|\r|\n/).entries()) {
    if (line.trim() !== "") yield { origin: { file, line: i + 1 }, value: { prompt: line } };
  }
}

async function* inputRows(): AsyncGenerator<RawRow> {
  if (process.stdin.isTTY === true) {
    throw new ConfigError("--prompts -: expected prompts on standard input, which is a terminal here.");
  }
  const content = await text(process.stdin);
  if (!content.trimStart().startsWith("{")) {
    yield* textRows(content, "stdin");
    return;
  }
  // the readers of data files know every fault of such lines
  const folder = mkdtempSync(join(tmpdir(), "preftune-"));
  try {
    const file = join(folder, "stdin.jsonl");
    writeFileAtomic(file, content);
    for await (const { origin, value } of readRows({ path: file })) {
      yield { origin: { ...origin, file: "stdin" }, value };
    }
  } finally {
    remove(folder);
  }
}

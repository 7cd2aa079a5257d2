/** Rows of prompts: those of a data file, the lines of a text file, or what comes on standard input. */
import process from "node:process";
import { ConfigError } from "../base/errors.ts";
import { statsOf } from "../base/open-file.ts";
import { ByteReader } from "./byte-reader.ts";
import type { RawRow } from "./example.ts";
import { firstByte, rowsOfLines } from "./json-rows.ts";
import { type Line, LinePlace, linesOf, readLines } from "./lines.ts";
import { ReadMeter } from "./read-meter.ts";
import { readRows } from "./sources.ts";

/** What stands for standard input in place of a path. */
const standardInput = "-";

/**
 * The rows in `path`: a data file; a `.txt`, of which each line that is not blank is a prompt; or "-", standard input, which is
 * JSON lines where it begins with "{" and prompts line by line otherwise. Read line by line.
 *
 * @throws {ConfigError} if standard input is a terminal
 */
export async function* promptRows(path: string): AsyncGenerator<RawRow> {
  if (path === standardInput) yield* inputRows();
  else if (path.endsWith(".txt")) yield* textFileRows(path);
  else yield* readRows({ path });
}

async function* textFileRows(path: string): AsyncGenerator<RawRow> {
  const meter = new ReadMeter();
  meter.expect(statsOf(path)?.size ?? 0);
  try {
    yield* textRows(readLines({ path, name: path, format: "jsonl", compression: "none", meter }), path);
  } finally {
    meter.finish();
  }
}

async function* textRows(lines: AsyncIterable<Line>, file: string): AsyncGenerator<RawRow> {
  for await (const { number, text } of lines) {
    // a carriage return alone ends a line too
    for (const prompt of text.split("\r")) {
      if (prompt.trim() !== "") yield { origin: { file, line: number }, value: { prompt } };
    }
  }
}

async function* inputRows(): AsyncGenerator<RawRow> {
  if (process.stdin.isTTY === true) {
    throw new ConfigError("--prompts -: expected prompts on standard input, which is a terminal here.");
  }
  const place = new LinePlace("stdin");
  const reader = new ByteReader(process.stdin);
  const isJson = (await firstByte(reader, place)) === "{".charCodeAt(0);
  const lines = linesOf(reader, place);
  yield* isJson ? rowsOfLines(lines, { name: "stdin", format: "jsonl" }) : textRows(lines, "stdin");
}

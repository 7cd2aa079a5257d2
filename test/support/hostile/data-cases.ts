/** Hostile data files: JSON lines and lists, CSV, compressed files, directories and globs, and what evaluations read. */
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import type { HostileCase } from "./hostile.ts";
import { hostilePieces } from "./long-texts.ts";
import { linkInstead, pipeInstead, writePieces } from "./spoil.ts";

const megabyte = 1024 * 1024;

/** A case in which the training data is a separate file. */
function file(name: string, write: (path: string) => void, expects: RegExp | null): HostileCase {
  return {
    name,
    write: (dir) => write(join(dir, nameIn(name))),
    command: (dir) => ["train", join(dir, "run.yaml"), "--train_data", join(dir, nameIn(name))],
    expects,
  };
}

/** `x.jsonl` of "x.jsonl: a line of 2 GB". */
function nameIn(name: string): string {
  return name.split(":")[0] ?? name;
}

function text(name: string, pieces: () => Iterable<string>, expects: RegExp | null): HostileCase {
  return file(name, (path) => writePieces(path, pieces()), expects);
}

/** A file that is large and not wrong: read until it is stopped. */
function large(name: string, write: (path: string) => void): HostileCase {
  const command = (dir: string) => [
    "data",
    "check",
    join(dir, "run.yaml"),
    "--train_data",
    join(dir, nameIn(name)),
  ];
  return { ...file(name, write, null), command, stopAfterMs: 4000 };
}

/** As many bytes of nothing, which take no room on the disk. */
function sparse(path: string, bytes: number, begin: string = ""): void {
  const fd = openSync(path, "w");
  writeSync(fd, begin);
  ftruncateSync(fd, bytes);
  closeSync(fd);
}

function* repeated(piece: string, times: number): Generator<string> {
  for (let i = 0; i < times; i++) yield piece;
}

const pair = '{"prompt":"The sky is","chosen":" blue.","rejected":" green."}';
const rowOf = (prompt: string): string =>
  `{"prompt":${JSON.stringify(prompt)},"chosen":"a","rejected":"b"}\n`;

/** So many gigabytes of one letter, compressed piece by piece. */
function bomb(path: string, letter: string, gigabytes: number): void {
  const piece = Buffer.alloc(64 * megabyte, letter);
  const packed = path.endsWith(".gz") ? gzipSync(piece) : zstdCompressSync(piece);
  writeFileSync(path, Buffer.concat(Array(16 * gigabytes).fill(packed)));
}

const jsonCases: HostileCase[] = [
  file(
    "x.jsonl: a line of 2 GB",
    (path) => sparse(path, 2 ** 31),
    /x\.jsonl:1: expected lines of at most 4 MiB/,
  ),
  text(
    "x.jsonl: a row of 15 MB",
    () => [
      '{"prompt":"p","chosen":"',
      ..."a"
        .repeat(15)
        .split("")
        .map((a) => a.repeat(1e6)),
      '","rejected":"b"}',
    ],
    /at most 4 MiB/,
  ),
  text("x.jsonl: 300,000 keys", () => ["{", ...keys(300_000), '"prompt":"p"}'], /more than 100000 keys/),
  text("x.jsonl: 2,000 columns", () => ["{", ...keys(2000), '"prompt":"p"}'], /at most 1000 are read/),
  text(
    "x.jsonl: 300,000 keys in a message",
    () => ['{"messages":[{', ...keys(300_000), '"role":"user"}]}'],
    /more than 100000 keys/,
  ),
  text(
    "x.jsonl: lists nested 100,000 deep",
    () => ['{"prompt":', "[".repeat(1e5), "]".repeat(1e5), "}"],
    /nested more than 900 deep/,
  ),
  text(
    "x.jsonl: objects nested 600,000 deep",
    () => ['{"prompt":', '{"a":'.repeat(6e5)],
    /nested more than 900 deep/,
  ),
  text("x.jsonl: JSON in a text nested 100,000 deep", () => [rowOf(`[${"[".repeat(1e5)}`)], /./),
  text("x.jsonl: Python's notation nested 100,000 deep", () => [rowOf(`[{'role':${"(".repeat(1e5)}`)], /./),
  text("x.jsonl: Python's notation of 500 KB", () => [rowOf(`[${"'a',".repeat(1.25e5)}`)], /./),
  text(
    "x.jsonl: a number of 3 million digits",
    () => [`{"prompt":"p","chosen":"a","rejected":"b","n":${"9".repeat(3e6)}}`],
    /more than 4300 digits/,
  ),
  text(
    "x.jsonl: 60,000 numbers of 50 digits",
    () => ['{"n":[', ...repeated(`${"9".repeat(50)},`, 60_000), "1]}"],
    /./,
  ),
  ...hostilePieces.map((piece) =>
    text(
      `x.jsonl: 100 KB of ${JSON.stringify(piece)}`,
      () => [hostileTexts(piece.repeat(1e5 / piece.length))],
      /./,
    ),
  ),
  text("x.json: a list of commas", () => ["[", ...repeated(",".repeat(1e6), 100)], /expected a JSON object/),
  text("x.json: a list that only opens", () => repeated("[".repeat(1e6), 100), /at most 4 MiB/),
  text(
    "x.json: a text without an end",
    () => ['[{"a":"', ...repeated("a".repeat(1e6), 100)],
    /at most 4 MiB/,
  ),
  text("x.json: 300 MB of white space", () => repeated(" ".repeat(1e6), 300), /found none/),
  text(
    "x.json: one row of 300 MB",
    () => ['[{"a":"', ...repeated("a".repeat(1e6), 300), '"}]'],
    /at most 4 MiB/,
  ),
  large("x.json: a list of 300 MB", (path) =>
    writePieces(path, ["[", ...repeated(`${`${pair},`.repeat(16_000)}\n`, 300), pair, "]"]),
  ),
  large("x.jsonl: 300 MB of small rows", (path) =>
    writePieces(path, repeated(`${pair}\n`.repeat(16_000), 300)),
  ),
];

/** One row of each form that a text can be in, each with the text in every place. */
function hostileTexts(piece: string): string {
  const rows = [
    { prompt: piece, chosen: piece, rejected: `${piece}b` },
    { chosen: piece, rejected: `${piece}b` },
    { messages: [{ role: "user", content: piece }] },
    { question: piece, response: piece, context: piece },
  ];
  return rows.map((row) => `${JSON.stringify(row)}\n`).join("");
}

function keys(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `"k${i}":1,`);
}

const csvCases: HostileCase[] = [
  text(
    "x.csv: 300,000 columns",
    () => [Array.from({ length: 300_000 }, (_, i) => `c${i}`).join(","), "\n"],
    /expected at most 1000 columns, named in a line of at most 1 MiB/,
  ),
  text("x.csv: 300,000 empty columns", () => [",".repeat(300_000), "\n"], /expected at most 1000 columns/),
  text(
    "x.csv: a row of 300,000 cells",
    () => ["prompt,chosen,rejected\n", "a,".repeat(300_000), "\n"],
    /expected 3 cells/,
  ),
  text(
    "x.csv: a quote left open for 300 MB",
    () => ['prompt,chosen\n"', ...repeated("a".repeat(1e6), 300)],
    /at most 4 MiB/,
  ),
  text(
    "x.csv: a cell of 200 KB of line breaks",
    () => ['prompt,chosen,rejected\n"', "\n".repeat(2e5), '",a,b\n'],
    /./,
  ),
  text(
    "x.csv: a cell of 200 KB of quotes",
    () => ['prompt,chosen,rejected\n"', '""'.repeat(1e5), '",a,b\n'],
    /./,
  ),
  text("x.csv: 5 MB of quotes", () => ['"'.repeat(5e6)], /./),
  file("x.csv: 2 GB of nothing", (path) => sparse(path, 2 ** 31), /a line of at most 1 MiB/),
  large("x.csv: 300 MB of small rows", (path) =>
    writePieces(path, ["prompt,chosen,rejected\n", ...repeated("a,b,c\n".repeat(170_000), 300)]),
  ),
];

const compressedCases: HostileCase[] = [
  ...["gz", "zst"].flatMap((ending) => [
    file(`x.jsonl.${ending}: 2 GB of empty lines`, (path) => bomb(path, "\n", 2), /found none/),
    file(`x.jsonl.${ending}: a line of 2 GB`, (path) => bomb(path, "a", 2), /at most 4 MiB/),
    file(`x.json.${ending}: 2 GB of white space`, (path) => bomb(path, " ", 2), /found none/),
    file(`x.json.${ending}: 2 GB of brackets`, (path) => bomb(path, "[", 2), /at most 4 MiB/),
    file(`x.csv.${ending}: 2 GB of commas`, (path) => bomb(path, ",", 2), /a line of at most 1 MiB/),
    file(`x.csv.${ending}: 2 GB of quotes`, (path) => bomb(path, '"', 2), /quote/),
  ]),
  file(
    "x.jsonl.gz: gzip in gzip in gzip",
    (path) => writeFileSync(path, gzipSync(gzipSync(gzipSync(Buffer.alloc(256 * megabyte))))),
    /UTF-8|valid JSON/,
  ),
  large("x.jsonl.gz: 1,000,000 empty members", (path) =>
    writeFileSync(path, Buffer.concat(Array(1_000_000).fill(gzipSync("")))),
  ),
  file(
    "x.jsonl.gz: a name of 100 MB",
    (path) => {
      const name = Buffer.alloc(100 * megabyte, "a");
      writeFileSync(path, Buffer.concat([Buffer.from("1f8b0808000000000003", "hex"), name]));
    },
    /a field of its header is longer than 64 KiB/,
  ),
  file(
    "x.jsonl.zst: 1,000,000 skippable frames",
    (path) =>
      writeFileSync(path, Buffer.concat(Array(1_000_000).fill(Buffer.from("502a4d1800000000", "hex")))),
    /found none|ends too early/,
  ),
  large("x.jsonl.gz: 1 GB of small rows", (path) =>
    writeFileSync(path, Buffer.concat(Array(100).fill(gzipSync(`${pair}\n`.repeat(160_000))))),
  ),
];

const placeCases: HostileCase[] = [
  file("pipe.jsonl: a named pipe", (path) => pipeInstead(path), /expected a file, got a named pipe/),
  file("pipe.parquet: a named pipe", (path) => pipeInstead(path), /expected a file, got a named pipe/),
  file(
    "zero.jsonl: a link to /dev/zero",
    (path) => linkInstead(path, "/dev/zero"),
    /expected a file, got a device/,
  ),
  file(
    "rows: a directory with a named pipe",
    (path) => {
      mkdirSync(path);
      pipeInstead(join(path, "a.csv"));
    },
    /expected a file, got a named pipe/,
  ),
  file(
    "rows: a directory of 120,000 files",
    (path) => {
      mkdirSync(path);
      for (let i = 0; i < 120_000; i++) closeSync(openSync(join(path, `${i}.jsonl`), "w"));
    },
    /at most 100000 entries/,
  ),
  file("rows: links in a circle", (path) => symlinkSync(path, path), /nothing is there/),
  {
    name: "a glob over the whole disk",
    write: () => {},
    command: (dir) => ["train", join(dir, "run.yaml"), "--train_data", "/**/*.nosuchending.jsonl"],
    expects: /looks at no more than 50000|found none/,
  },
];

/** What evaluations and generation read besides: answers, prompts, questions, judges' prompts, kept judgments. */
const sidecarCases: HostileCase[] = [
  ...["a named pipe", "2 GB of nothing", "a link to /dev/zero"].flatMap((what) => {
    const write = (path: string): void => {
      if (what === "a named pipe") pipeInstead(path);
      else if (what === "2 GB of nothing") sparse(path, 2 ** 31);
      else linkInstead(path, "/dev/zero");
    };
    const expects = /expected a file, got a|at most 4 MiB/;
    const one = (
      name: string,
      args: (path: string, dir: string) => string[],
      ending = "jsonl",
    ): HostileCase => ({
      name: `${name}: ${what}`,
      write: (dir) => write(join(dir, `x.${ending}`)),
      command: (dir) => args(join(dir, `x.${ending}`), dir),
      expects,
    });
    return [
      one("answers", (path) => ["evaluate", "diversity", "--answers", path]),
      one("prompts", answering),
      one("prompts as text", answering, "txt"),
      one("questions", (path, dir) => judged(dir, ["--questions", path])),
      one("judge's prompts", (path, dir) => judged(dir, ["--judge-prompts", path])),
      one("references", (path, dir) => judged(dir, ["--references", path])),
    ];
  }),
  ...(["a named pipe", "text", "a directory", "a cut database"] as const).map(
    (what): HostileCase => ({
      name: `judgments.sqlite: ${what}`,
      write: (dir) => {
        const path = join(dir, "kept", "judgments.sqlite");
        mkdirSync(join(dir, "kept"));
        if (what === "a named pipe") pipeInstead(path);
        else if (what === "a directory") mkdirSync(path);
        else
          writeFileSync(
            path,
            what === "text" ? "no database\n".repeat(1000) : `SQLite format 3\0${"\u0001".repeat(80)}`,
          );
      },
      command: (dir) => judged(dir, ["--output", join(dir, "kept")]),
      expects: /judgments in this SQLite file|expected a file, got/,
    }),
  ),
];

/** Answers to the prompts of a file. */
function answering(prompts: string, dir: string): string[] {
  const output = join(dir, "o.jsonl");
  return ["generate", "--model", join(dir, "model"), "--prompts", prompts, "--output", output];
}

/** MT-Bench with its files; what `words` name comes last and wins. Nobody answers at the usual judge's address. */
export function judged(
  dir: string,
  words: readonly string[],
  { asked = "1 + 1?", judge: judgeAt = "http://127.0.0.1:9#m" }: { asked?: string; judge?: string } = {},
): string[] {
  const question = join(dir, "questions.jsonl");
  writeFileSync(question, `${JSON.stringify({ question_id: 1, category: "math", turns: [asked] })}\n`);
  writeFileSync(join(dir, "answers.jsonl"), '{"question_id":1,"choices":[{"turns":["2"]}]}\n');
  const prompts = ["single-v1", "single-math-v1", "single-v1-multi-turn", "single-math-v1-multi-turn"].map(
    (name) =>
      JSON.stringify({ name, system_prompt: "", prompt_template: "{question} {answer} {ref_answer_1}" }),
  );
  writeFileSync(join(dir, "prompts.jsonl"), `${prompts.join("\n")}\n`);
  writeFileSync(join(dir, "references.jsonl"), '{"question_id":1,"choices":[{"turns":["2"]}]}\n');
  const usual = {
    "--questions": question,
    "--judge-prompts": join(dir, "prompts.jsonl"),
    "--references": join(dir, "references.jsonl"),
    "--output": join(dir, "judged"),
  };
  const given = Object.fromEntries(
    words.flatMap((word, i) => (i % 2 === 0 ? [[word, words[i + 1] ?? ""]] : [])),
  );
  const options = Object.entries({ ...usual, ...given }).flat();
  const judge = ["--judge", judgeAt, "--max-retries", "0"];
  return ["evaluate", "mt-bench", join(dir, "answers.jsonl"), ...options, ...judge];
}

/** All of them. */
export const dataCases: HostileCase[] = [
  ...jsonCases,
  ...csvCases,
  ...compressedCases,
  ...placeCases,
  ...sidecarCases,
];

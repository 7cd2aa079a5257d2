/** gguf-py and llama.cpp for tests (`npm run peers -- --gguf`), each asked in a separate process. */
import { spawnSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

const folder: string = resolve(import.meta.dirname, "../../.preftune/peers-gguf");

/** For `test(name, { skip: skipWithoutGguf() }, ...)`: false when gguf-py is there, else the reason to print. */
export function skipWithoutGguf(): false | string {
  return existsSync(join(folder, "preftune-stamp"))
    ? false
    : 'no Python with gguf; "npm run peers -- --gguf" installs one';
}

/** As `skipWithoutGguf`, for llama.cpp. */
export function skipWithoutLlama(): false | string {
  return (
    skipWithoutGguf() ||
    (existsSync(join(folder, "node_modules", "node-llama-cpp"))
      ? false
      : "there is no prebuilt llama.cpp for this platform")
  );
}

/** Writes the program llama-quantize, of which llama.cpp's packages for Node have the function alone, to `path`. */
export function writeQuantizer(path: string): void {
  const script = join(import.meta.dirname, "llama-quantize.py");
  const library = join(folder, "node_modules", "@node-llama-cpp", "linux-x64", "bins", "linux-x64");
  const command = `exec "${join(folder, "bin", "python")}" "${script}" "${library}" "$@"`;
  writeFileSync(path, `#!/bin/sh\n${command}\n`, { mode: 0o755 });
}

/** For tests that quantise by llama.cpp: false where it can be asked, else the reason to print. */
export function skipWithoutQuantizer(): false | string {
  const isKnown = process.platform === "linux" && process.arch === "x64";
  return skipWithoutLlama() || (isKnown ? false : "llama.cpp's function is called on Linux x64 alone");
}

/** What a Python script prints as JSON, with gguf-py to import. */
export function askGgufPython<T>(script: string, input: unknown): T {
  return asked(join(folder, "bin", "python"), ["-c", script], input);
}

/** What llama.cpp is asked of a model. */
export interface LlamaJob {
  /** Path of the GGUF file. */
  model: string;
  /** Path of an adapter's GGUF file. */
  lora?: string;
  /** Texts to tokenise, with special tokens read as such. */
  texts?: readonly string[];
  /** Token ids to continue, most likely token by token, until an end or `most` tokens. */
  prompts?: readonly (readonly number[])[];
  most?: number;
  /** Answers of `prompts[0]` to sample at temperature 1. */
  samples?: number;
}

/** What llama.cpp says. */
export interface LlamaAnswer {
  tokens: number[][];
  /** Continuations, without the token that ended them. */
  greedy: number[][];
  /** Whether each ended by itself. */
  ended: boolean[];
  /** Probabilities of the first continuing token of each prompt, by token id: the most likely ones. */
  first: [number, number][][];
  /** Whether each sampled answer ended by itself. */
  sampled: boolean[];
}

/** The answers of llama.cpp, a model after the other. */
export function askLlama(jobs: readonly LlamaJob[]): LlamaAnswer[] {
  const child = join(import.meta.dirname, "llama-child.mjs");
  return asked(process.execPath, [child, folder], jobs);
}

function asked<T>(program: string, args: readonly string[], input: unknown): T {
  const { status, stdout, stderr } = spawnSync(program, args, {
    input: JSON.stringify(input),
    encoding: "utf8",
    maxBuffer: 2 ** 28,
    timeout: 300_000,
  });
  if (status !== 0) throw new Error(`${program} ended with ${status}:\n${stderr}`);
  return JSON.parse(stdout) as T;
}

/**
 * What error messages tell people to set or to run is tried: every `key: value` is given to a configuration, every
 * `--option` and every `preftune command` is one that the command line has. The messages are read from the sources, so a
 * renamed key, option or command fails here wherever it is still named.
 */
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import type { Command } from "commander";
import { parse } from "yaml";
import { program } from "../../src/cli/program.ts";
import { CONFIG_KEYS, fieldOf, isConfigKey } from "../../src/config/keys.ts";
import { methodNames } from "../../src/methods/index.ts";

const root = resolve(import.meta.dirname, "../..");

interface Source {
  file: string;
  /** Without comments. */
  text: string;
}

/** Comments are not shown to users. A string never holds the opening of one. */
function withoutComments(text: string): string {
  return text
    .replace(/^\s*\/\*[\s\S]*?\*\//gm, "")
    .replace(/^\s*\/\/.*$/gm, "")
    .replace(/\s\/\/ .*$/gm, "");
}

const sources: Source[] = globSync("src/**/*.ts", { cwd: root })
  .filter((file) => !/\.test\.ts$|\/generated\//.test(file))
  .map((file) => ({ file, text: withoutComments(readFileSync(join(root, file), "utf8")) }));

interface Found {
  file: string;
  words: RegExpExecArray;
}

function find(pattern: RegExp): Found[] {
  return sources.flatMap(({ file, text }) => [...text.matchAll(pattern)].map((words) => ({ file, words })));
}

function everyCommand(command: Command, path: readonly string[] = []): Map<string, Command> {
  const own = new Map([[path.join(" "), command]]);
  for (const child of command.commands) {
    for (const [name, one] of everyCommand(child, [...path, child.name()])) own.set(name, one);
  }
  return own;
}

const commands = everyCommand(await program());

/** Where options are those of pip, compilers, Node or nvidia-smi, or names of colours. */
const othersOptions = [
  "src/setup/",
  "src/text/template-process.ts",
  "src/process/child.ts",
  "src/text/jinja/",
  "src/report/style-sheet.ts",
];

/** Options of torchrun, srun and sbatch. */
const launchersOptions = ["--no-python", "--nproc-per-node", "--ntasks-per-node", "--ntasks", "--requeue"];
/** Options of llama-server and of ollama run. */
const llamaOptions = ["--chat-template-kwargs", "--think"];

test("every `key: value` that a message tells to set is accepted", () => {
  const hints = find(
    /\b(?:[Ss]et|[Gg]ive|[Uu]se|[Tt]ake|[Aa]dd|[Uu]nset|or|with|and) ([a-z][a-z_0-9]*): ("[^"]*"|\[[^\]]*\]|\{[^}]*\}|[\w.-]*\w)/g,
  ).filter(({ words }) => isConfigKey(words[1] ?? "") && !(words[2] ?? "").includes("${"));
  assert.ok(hints.length >= 15, `only ${hints.length} hints were found: is the pattern still right?`);
  for (const { file, words } of hints) {
    const [whole, key = "", text = ""] = words;
    if (!isConfigKey(key)) continue;
    // a key of several methods takes what one of them does
    const results = [undefined, ...methodNames].map((method) => fieldOf(key, method).check(parse(text)));
    const accepted = results.some(({ success }) => success);
    assert.ok(accepted, `${file}: "${whole}": ${JSON.stringify(results[0]?.error?.issues)}`);
  }
});

test("every --option that a message names is one of the command line", () => {
  const known = new Set([
    "--help",
    "--version",
    ...launchersOptions,
    ...llamaOptions,
    ...CONFIG_KEYS.map((key) => `--${key}`),
    ...[...commands.values()].flatMap(({ options }) => options.flatMap(({ long }) => long ?? [])),
  ]);
  // `--key value` stands for any key; `var(--c1)` and `--c1: red` are colours of reports
  const named = find(/(?<![\w-]|var\()--(?!key\b)[a-z][a-z0-9_-]*[a-z0-9](?![\w-]*\s*:)/g).filter(
    ({ file }) => !othersOptions.some((place) => file.startsWith(place)),
  );
  assert.ok(named.length > 50);
  const unknown = named.filter(({ words }) => !known.has(words[0]));
  assert.deepEqual(
    unknown.map(({ file, words }) => `${file}: ${words[0]}`),
    [],
  );
});

test("a path that a command in a message takes is written as a shell takes it", () => {
  const taken =
    /(?:preftune (?:scale|report|track|push|round|train|merge|labels [a-z]+|data [a-z]+)|--(?:model|adapter|output|workbench|lora)|\bcreate NAME -f|\bmv|\bmv \$\{[^}]*\}|\b(?:rm|cp) -\w+|\bchmod \d+|--target) \$\{(?![^}]*shellWord)[^}]*\}(?!:)/g;
  // its folders are quoted where they are read (folderText)
  const unquoted = find(taken).filter(({ file }) => file !== "src/dashboard/empty-texts.ts");
  assert.deepEqual(
    unquoted.map(({ file, words }) => `${file}: ${words[0]}`),
    [],
  );
  assert.ok(find(/\$\{shellWord\(/g).length >= 15);
});

test("every command that a message names is there", () => {
  const named = find(
    /\b(?:npx )?preftune ((?:[a-z][a-z-]+)(?: (?:check|clean|mt-bench|arena-hard|diversity|pairwise))?)\b/g,
  );
  const known = new Set([...commands.keys(), "setup", "doctor"]);
  // "preftune does not ..." is prose
  const isCommand = (text: string): boolean => known.has(text) || known.has(text.split(" ")[0] ?? "");
  const prose =
    /^(does|trains|generates|runs|reads|can|calls|knows|sees|needs|has|uses|made|precomputes|from|as|quick|run|is)\b/;
  const unknown = named.filter(({ words }) => !isCommand(words[1] ?? "") && !prose.test(words[1] ?? ""));
  assert.deepEqual(
    unknown.map(({ file, words }) => `${file}: ${words[0]}`),
    [],
  );
});

test("a command line that a message gives has the arguments that the command asks for", () => {
  const lines = find(/`preftune ([a-z][^`\\$]* [^`\\$]*)\\?`/g);
  assert.ok(lines.length >= 3, `only ${lines.length} command lines were found: is the pattern still right?`);
  for (const { file, words } of lines) {
    const parts = (words[1] ?? "").trim().split(/\s+/);
    const length = [2, 1].find((count) => commands.has(parts.slice(0, count).join(" "))) ?? 0;
    const command = commands.get(parts.slice(0, length).join(" "));
    const given = parts.slice(length);
    if (command === undefined || given.length === 0) continue;
    const takesNext = (word: string | undefined): boolean =>
      command.options.some(({ long, required }) => long === word && required);
    const values = given.filter((word, i) => !word.startsWith("-") && !takesNext(given[i - 1]));
    const asked = command.registeredArguments.filter(({ required }) => required);
    assert.ok(
      values.length >= asked.length,
      `${file}: ${words[0]}: ${asked.map((one) => one.name()).join(", ")}`,
    );
  }
});

/** Every command of the documents is one that the program takes: it is parsed, and not run. */
import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { test } from "node:test";
import type { Command } from "commander";
import { documentsOf } from "../../scripts/markdown-links.ts";
import { pairsOf } from "../../src/cli/overrides.ts";
import { program } from "../../src/cli/program.ts";
import { fieldOf, isConfigKey } from "../../src/config/keys.ts";
import { loadConfig } from "../../src/config/load-config.ts";
import { valueFromText } from "../../src/config/schema-text.ts";
import { shellCommands } from "../support/shell-words.ts";
import { snippetsOf } from "../support/snippets.ts";

const root = join(import.meta.dirname, "../..");
const documents = documentsOf(root);
const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

/** Commands of the launcher, which work before the program does. */
const launcher: Readonly<Record<string, readonly string[]>> = { doctor: ["--json"], setup: [] };

function walk(command: Command): Command[] {
  return [command, ...command.commands.flatMap(walk)];
}

/** What `command` takes as keys of a configuration. */
const takesKeys = (command: Command): boolean =>
  command.registeredArguments.some((argument) => argument.name() === "overrides");

/** Checks `--key value` words, which the program reads when the command runs. */
function checkKeys(words: readonly string[]): void {
  for (const [name, text] of pairsOf(words)) {
    const key = name.replaceAll("-", "_");
    assert.ok(isConfigKey(key), `there is no key ${name}`);
    // a value that the page leaves open
    if (/^(\$\w+|\.\.\.|…|[A-Z]+)$/.test(text)) continue;
    const field = fieldOf(key);
    assert.ok(field.check(valueFromText(field.schema, text)).success, `--${name} ${text}: ${field.expected}`);
  }
}

/** Checks what the action of `command` would get. */
function checkArguments(command: Command, first: unknown, words: readonly string[]): void {
  const given = words.filter((word) => !/^\$/.test(word));
  checkKeys(given);
  const file = join(root, String(first));
  if (command.name() === "train" && existsSync(file)) loadConfig({ file, overrides: pairsOf(given) });
}

/** What stands for words that a page leaves open, where the program takes only some. */
const open: Readonly<Record<string, string>> = {
  "URL#MODEL": "http://127.0.0.1:8000/v1#judge",
  $1: "anchoring",
};

/** Parses the words after `preftune` as the program does. The action checks keys and does nothing else. */
async function parse(words: readonly string[]): Promise<void> {
  const [name = "", ...rest] = words;
  const own = launcher[name];
  if (own !== undefined) {
    assert.deepEqual(
      rest.filter((word) => !own.includes(word)),
      [],
    );
    return;
  }
  const all = await program(words);
  let parsed = false;
  let said = "";
  for (const command of walk(all)) {
    command.exitOverride().configureOutput({ writeErr: (text) => (said += text), writeOut: () => {} });
    command.action((...given: unknown[]) => {
      parsed = true;
      const last = command.registeredArguments.length - 1;
      if (takesKeys(command))
        checkArguments(
          command,
          given[0],
          [...(given[last] as string[])].filter((word) => word !== "..."),
        );
    });
  }
  try {
    all.parse(
      words.map((word) => open[word] ?? word),
      { from: "user" },
    );
  } catch (error) {
    throw new Error(said === "" ? String(error) : said, { cause: error });
  }
  assert.ok(parsed, "no command");
}

/** Checks one command of a block, where it is ours. */
async function check(words: readonly string[]): Promise<boolean> {
  // an image of this name, in which another program is started, is not the program
  const isImage = words[0] === "podman" && (words[1] !== "run" || words.includes("--entrypoint"));
  const at = isImage ? -1 : words.findIndex((word) => basename(word) === "preftune");
  if (at >= 0) await parse(words.slice(at + 1));
  const [first, second, third = ""] = words;
  if (first === "npm" && second === "run") assert.ok(third in scripts, `there is no script ${third}`);
  const file = first === "node" ? second : first === "npm" && third === "ts" ? words[4] : undefined;
  if (file !== undefined && !file.startsWith("-")) {
    assert.ok(existsSync(join(root, file)), `no file ${file}`);
    // plain node finds no "preftune" in a checkout, and Node 20 takes no types out
    assert.ok(first !== "node" || !file.endsWith(".ts"), `npm run ts -- ${file} runs it`);
  }
  return at >= 0;
}

/** What is wrong with some commands, each with its page. */
async function faults(
  commands: Iterable<{ page: string; words: readonly string[] }>,
): Promise<{ wrong: string[]; count: number }> {
  const wrong: string[] = [];
  let count = 0;
  for (const { page, words } of commands) {
    try {
      if (await check(words)) count += 1;
    } catch (error) {
      wrong.push(`${page}: ${words.join(" ")}: ${error instanceof Error ? error.message : error}`);
    }
  }
  return { wrong, count };
}

/** The commands of all shell blocks, and those by which the examples say that they are run. */
function* blocks(): Generator<{ page: string; words: string[] }> {
  for (const page of documents) {
    const text = readFileSync(join(root, page), "utf8");
    for (const block of [...snippetsOf(text, "sh"), ...snippetsOf(text, "bash")]) {
      for (const words of shellCommands(block)) yield { page, words };
    }
  }
  for (const page of globSync("examples/*.ts", { cwd: root })) {
    for (const [, line = ""] of readFileSync(join(root, page), "utf8").matchAll(/\bRun: (.*)$/gm))
      for (const words of shellCommands(line)) yield { page, words };
  }
}

test("every command of a shell block is taken by the program: its name, options, arguments and keys", async () => {
  const { wrong, count } = await faults(blocks());
  assert.deepEqual(wrong, []);
  assert.ok(count > 80, `${count}`);
});

test("a wrong name, option, value or key in a block would be found", async () => {
  const lines = [
    "npx preftune trian run.yaml",
    "npx preftune train run.yaml --learning-rat 1",
    "npx preftune train run.yaml --learning_rate fast   # a comment",
    "npx preftune train run.yaml --max-restarts none",
    "npx preftune train recipes/quickstart.yaml --lambda_w 1 --objective dpo",
    "torchrun --nproc-per-node 8 preftune merge --model A \\\n  --out B",
    "cat a | preftune export gguf RUN --type q9_9 > x",
    "npm run benhc",
    "npm run ts -- examples/none.ts",
    "node examples/judge.ts",
    "npx preftune doctor --jsno",
  ];
  for (const line of lines) {
    const { wrong } = await faults(shellCommands(line).map((words) => ({ page: "page", words })));
    assert.equal(wrong.length, 1, line);
  }
});

/** The command that words begin with, and the words after it. */
async function commandOf(words: readonly string[]): Promise<{ command: Command; rest: readonly string[] }> {
  let command = await program(words);
  let at = 0;
  for (; at < words.length; at += 1) {
    const next = command.commands.find((one) => one.name() === words[at]);
    if (next === undefined) break;
    command = next;
  }
  return { command, rest: words.slice(at) };
}

test("a command in the text of a page has a name that the program knows, and its options", async () => {
  const wrong: string[] = [];
  let count = 0;
  for (const page of documents) {
    const prose = readFileSync(join(root, page), "utf8").replace(/^```[\s\S]*?^```/gm, "");
    for (const [, line = ""] of prose.matchAll(/`(?:npx )?preftune ([a-z][^`]*)`/g)) {
      const words = line.replaceAll(/\$\([^()]*\)/g, "").split(/\s+/);
      const [name = ""] = words;
      if (name in launcher) continue;
      count += 1;
      const { command, rest } = await commandOf(words);
      const known = (option: string) =>
        command.options.some(({ long }) => long === option) ||
        (takesKeys(command) && isConfigKey(option.slice(2).replaceAll("-", "_")));
      if (command.parent === null) wrong.push(`${page}: ${line}: no such command`);
      const unknown = rest.filter((word) => word.startsWith("--")).map((word) => word.split("=")[0] ?? "");
      wrong.push(
        ...unknown.filter((option) => !known(option)).map((option) => `${page}: ${line}: ${option}`),
      );
    }
  }
  assert.deepEqual(wrong, []);
  assert.ok(count > 40, `${count}`);
});

test("docs/commands.md names every command that takes --json, keys of the configuration, --stopped-status", async () => {
  const page = readFileSync(join(root, "docs/commands.md"), "utf8").replaceAll(/\s+/g, " ");
  const listed = (pattern: RegExp) =>
    [...(pattern.exec(page)?.[1] ?? "").matchAll(/`([a-z ]+)`/g)].map(([, name]) => name);
  const nameOf = (command: Command): string =>
    command.parent?.parent ? `${nameOf(command.parent)} ${command.name()}` : command.name();
  const all = walk(await program());
  const having = (option: string) =>
    all.filter(({ options }) => options.some(({ long }) => long === option)).map(nameOf);
  const same = (got: unknown[], expected: string[]) => assert.deepEqual(got.toSorted(), expected.toSorted());
  same(listed(/\| `--json` \| (.*?): the whole/), [...having("--json"), "doctor"]);
  same(listed(/with a warning\. (.*?) take any key/), all.filter(takesKeys).map(nameOf));
  same(listed(/another status: (.*?) take `--stopped-status/), having("--stopped-status"));
});

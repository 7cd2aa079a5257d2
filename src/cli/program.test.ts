/** The same thing has the same name in every command. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Command } from "commander";
import { program } from "./program.ts";
import { addAbsentCommand } from "./studies-command.ts";
import { allCommands } from "./usage-errors.ts";

const longNames = (command: Command) =>
  command.options.filter(({ hidden }) => !hidden).map(({ long }) => long ?? "");

test("no command has a name of its own for what others call --limit, --output or --max-new-tokens", async () => {
  const own =
    /^--(rows|max-rows|max-prompts|num-prompts|out|out-file|output-file|dir|max-tokens|num-samples)$/;
  for (const command of allCommands(await program())) {
    for (const name of longNames(command)) {
      // of a server: how many prompts one request may have
      if (command.name() !== "serve") assert.doesNotMatch(name, own, command.name());
    }
  }
});

test("--stopped-status refuses the statuses of failures, which a restart could not tell from a stop", async () => {
  for (const status of ["0", "1", "5", "8", "256"]) {
    const preftune = await program();
    for (const command of allCommands(preftune)) command.configureOutput({ writeErr: () => {} });
    await assert.rejects(
      preftune.parseAsync(["node", "preftune", "train", "none.yaml", "--stopped-status", status]),
      { message: /--stopped-status <status>.*(from 9 to 255, such as 75|at least 1)/ },
      status,
    );
  }
  const words = ["node", "preftune", "train", "none.yaml", "--stopped-status", "75"];
  await assert.rejects((await program()).parseAsync(words), { message: /none\.yaml/ });
});

test("another name is refused with the one that it has here", async () => {
  const cases: [string[], RegExp][] = [
    [["generate", "--model", "m", "--prompts", "p", "--rows", "3"], /--rows <value>.* It is --limit here\./],
    [["generate", "--model", "m", "--prompts", "p", "--max-tokens", "3"], /It is --max-new-tokens here\./],
    [["evaluate", "diversity", "--answers", "a", "--out", "b.json"], /--out <value>.* It is --output here\./],
    [["evaluate", "pairwise", "a", "b", "--prompts", "p", "--max-prompts", "3"], /It is --limit here\./],
    [["score", "--model", "m", "--data", "d", "--out", "o"], /It is --output here\./],
    [["generate", "--model", "m", "--prompts", "p", "--dir", "d"], /It is --output here\./],
    [["merge", "--model", "m", "--adapter", "a", "--out", "o"], /It is --output here\./],
    [["sweep", "s.yaml", "--out", "o"], /It is --output here\./],
  ];
  for (const [words, message] of cases) {
    const preftune = await program();
    for (const command of allCommands(preftune)) command.configureOutput({ writeErr: () => {} });
    await assert.rejects(preftune.parseAsync(["node", "preftune", ...words]), { message });
  }
});

test("a command that is named is loaded alone, and is the one that all of them have", async () => {
  const all = await program();
  assert.ok(all.commands.length > 20);
  for (const command of all.commands) {
    const { commands } = await program([command.name(), "--help"]);
    // completion needs to know them all
    if (command.name() === "completion") assert.equal(commands.length, all.commands.length);
    else
      assert.deepEqual(
        commands.map((one) => one.helpInformation()),
        [command.helpInformation()],
      );
  }
});

test("a mistake in the words of any command is thrown, and said as every other", async () => {
  const cases: [string[], string][] = [
    [
      ["export", "gguf", "run"],
      "required option '--output <file>' not specified. See `preftune export gguf --help`.",
    ],
    [["data", "clean"], "missing required argument 'recipe.yaml'. See `preftune data clean --help`."],
    [["data", "pair"], "required option '--output <file>' not specified. See `preftune data pair --help`."],
    [
      ["evaluate", "diversity", "--wrong"],
      "unknown option '--wrong'. See `preftune evaluate diversity --help`.",
    ],
    [["generate", "--model", "m", "--promts", "p"], "unknown option '--promts' (Did you mean --prompts?)"],
    [["trian"], "unknown command 'trian' (Did you mean train?)"],
    [["--wrong"], "unknown option '--wrong'. See `preftune --help`."],
    [
      ["merge", "--threads", "0"],
      "option '--threads <count>' argument '0' is invalid. Expected a whole number of at least 1.",
    ],
  ];
  for (const [words, message] of cases) {
    const preftune = await program();
    let written = "";
    const writeErr = (text: string) => {
      written += text;
    };
    for (const command of allCommands(preftune)) command.configureOutput({ writeErr });
    await assert.rejects(preftune.parseAsync(["node", "preftune", ...words]), { name: "CommanderError" });
    assert.equal(written, `preftune: ${message}\n`);
  }
  for (const command of allCommands(await program())) {
    assert.throws(() => command.configureOutput({ writeErr: () => {} }).error("x"), {
      name: "CommanderError",
    });
  }
});

test("an option that would have no effect is refused by name, at its default value too", async () => {
  const answers = (...words: string[]) => ["evaluate", "diversity", "--answers", "a.jsonl", ...words];
  const useless = ["--samples=4", "--temperature=1", "--seed=42", "--max-new-tokens=256", "--plain"];
  const further = [
    "--chat-template=x",
    "--enable-thinking=true",
    "--device=auto",
    "--dtype=auto",
    "--threads=1",
    "--limit=1",
  ];
  const cases: [string[], RegExp][] = [
    ...[...useless, ...further].map((option): [string[], RegExp] => [
      answers(option),
      new RegExp(
        `^--answers names existing completions, ${option.split("=")[0]} is for new ones: take it out`,
      ),
    ]),
    [
      ["plan", "--model-config", "c.json", "--tflops", "1", "--gflops", "5"],
      /--tflops and --gflops are both/,
    ],
    [["train", "r.yaml", "--print-config", "--dry-run"], /^--dry-run has no effect with --print-config/],
    ...["--judge-temperature=0", "--concurrency=8", "--judge-extra={}"].map((option): [string[], RegExp] => [
      ["study", "anchoring", option],
      new RegExp(`^${option.split("=")[0]} has no effect without --judge URL#MODEL`),
    ]),
  ];
  for (const [words, message] of cases) {
    await assert.rejects((await program()).parseAsync(["node", "preftune", ...words]), {
      name: "ConfigError",
      message,
    });
  }
});

test("a package without the studies says where they are", async () => {
  const preftune = new Command("preftune");
  addAbsentCommand(preftune);
  const words = ["study", "anchoring", "--seeds", "1"];
  await assert.rejects(preftune.parseAsync(["node", "preftune", ...words]), {
    name: "ConfigError",
    message: /come with preftune's repository, not with the package.*in a checkout/,
  });
});

test("the launcher knows of every command whether it computes", async () => {
  const { needsAddon } = (await import(new URL("../../bin/computing.mjs", import.meta.url).href)) as {
    needsAddon(args: readonly string[]): boolean;
  };
  const without = (await program()).commands.map((one) => one.name()).filter((name) => !needsAddon([name]));
  const known = ["init", "report", "track", "push", "data", "labels", "plan", "schema", "completion"];
  assert.deepEqual(without.toSorted(), known.toSorted());
  assert.deepEqual(
    [needsAddon(["labels", "score", "w"]), needsAddon(["labels", "export", "w"])],
    [true, false],
  );
  assert.deepEqual(
    [needsAddon(["train", "x", "--help"]), needsAddon(["trian"]), needsAddon([])],
    [false, false, false],
  );
});

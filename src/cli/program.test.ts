/** The same thing has the same name in every command. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Command } from "commander";
import { program } from "./program.ts";
import { addAbsentCommand } from "./studies-command.ts";

function allCommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(allCommands)];
}

const longNames = (command: Command) =>
  command.options.filter(({ hidden }) => !hidden).map(({ long }) => long ?? "");

test("no command has a name of its own for what others call --limit, --output or --max-new-tokens", () => {
  const own =
    /^--(rows|max-rows|max-prompts|num-prompts|out|out-file|output-file|dir|max-tokens|num-samples)$/;
  for (const command of allCommands(program())) {
    for (const name of longNames(command)) {
      // of a server: how many prompts one request may have
      if (command.name() !== "serve") assert.doesNotMatch(name, own, command.name());
    }
  }
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
    const preftune = program();
    for (const command of allCommands(preftune))
      command.exitOverride().configureOutput({ writeErr: () => {} });
    await assert.rejects(preftune.parseAsync(["node", "preftune", ...words]), { message });
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

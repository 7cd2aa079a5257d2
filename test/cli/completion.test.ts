/** `preftune completion`, in the shells themselves: keys are pressed on a terminal, and what the shell then runs is read. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { completionsOf } from "../../src/cli/completion-model.ts";
import { bashScript, fishScript, zshScript } from "../../src/cli/completion-scripts.ts";
import { program } from "../../src/cli/program.ts";
import { CONFIG_KEYS } from "../../src/config/keys.ts";
import { methodNames } from "../../src/methods/index.ts";
import { endWithFile, preftune } from "../support/command.ts";
import { scratch } from "../support/scratch.ts";

const dir = mkdtempSync(join(scratch(), "preftune-completion-"));
after(() => rmSync(dir, { recursive: true, force: true }));
writeFileSync(join(dir, "my-run.yaml"), "");

const completions = completionsOf(await program());
const scripts: Record<string, string> = {
  bash: bashScript(completions),
  zsh: zshScript(completions),
  fish: fishScript(completions),
};
for (const [shell, text] of Object.entries(scripts)) writeFileSync(join(dir, shell), text);

function lacks(name: string): false | string {
  return spawnSync("sh", ["-c", `command -v ${name}`]).status === 0 ? false : `${name} is not installed`;
}

/** The arguments with which a shell on a terminal runs `preftune` after each line of keys. */
async function pressed(
  shell: string,
  begin: readonly string[],
  lines: readonly string[],
): Promise<string[][]> {
  const child = endWithFile(
    spawn("script", ["-qec", shell, "/dev/null"], {
      cwd: dir,
      env: { ...process.env, PS1: "READY> ", PROMPT: "READY> ", TERM: "dumb" },
    }),
    false,
  );
  let seen = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    seen += text;
  });
  const said = async (pattern: RegExp): Promise<string> => {
    while (!pattern.test(seen)) await new Promise((resolve) => child.stdout.once("data", resolve));
    return seen;
  };
  // what is echoed as it is typed has a quote inside: `preftune` prints the words without it
  const own = `preftune() { printf 'G''OT<%s>' "$@"; echo E''ND; }`;
  child.stdin.write(`${[...begin, own, "echo IN''IT"].join("\n")}\n`);
  await said(/INIT/);
  for (const [i, line] of lines.entries()) {
    child.stdin.write(`${line}\n`);
    await said(new RegExp(`(?:END[^]*?){${i + 1}}`));
  }
  child.stdin.end("exit\n");
  return [...seen.matchAll(/((?:GOT<[^>]*>)+)END/g)].map(([, all = ""]) =>
    [...all.matchAll(/<([^>]*)>/g)].map(([, word = ""]) => word),
  );
}

const keys = [
  "preftune trai\tmy-r\t--objectiv\tsli\t--gradient_checkpointing_b\t2",
  "preftune dat\tchec\t--jso\t",
  "preftune train --optim=adamw_8\t--dry-ru\t",
  "preftune doc\t",
];
const expected = [
  ["train", "my-run.yaml", "--objective", "slime", "--gradient_checkpointing_blocks", "2"],
  ["data", "check", "--json"],
  ["train", "--optim=adamw_8bit", "--dry-run"],
  ["doctor"],
];

test("bash completes commands, files, options, keys and values", {
  skip: lacks("bash") || lacks("script"),
}, async () => {
  const shell = "bash --norc --noprofile -i";
  const begin = ["bind 'set bell-style none'", "source ./bash"];
  assert.deepEqual(await pressed(shell, begin, keys), expected);
});

test("zsh completes the same", { skip: lacks("zsh") || lacks("script") }, async () => {
  const begin = ["unsetopt beep", "autoload -Uz compinit", "compinit -u -D", "source ./zsh"];
  assert.deepEqual(await pressed("zsh -f -i", begin, keys), expected);
});

test("fish completes the same, with what each is", { skip: lacks("fish") }, () => {
  const completed = (line: string) => {
    const { stdout } = spawnSync(
      "fish",
      ["--no-config", "-c", 'source ./fish; complete -C "$argv[1]"', line],
      {
        cwd: dir,
        encoding: "utf8",
      },
    );
    return stdout
      .trim()
      .split("\n")
      .map((one) => one.split("\t"));
  };
  assert.deepEqual(
    completed("preftune train --objective ")
      .map(([name]) => name)
      .sort(),
    [...methodNames].sort(),
  );
  assert.deepEqual(completed("preftune trai"), [["train", "train from a YAML configuration"]]);
  assert.deepEqual(
    completed("preftune data chec").map(([name]) => name),
    ["check"],
  );
  assert.deepEqual(
    completed("preftune train --gradient_checkpointing_b").map(([name]) => name),
    ["--gradient_checkpointing_blocks"],
  );
  assert.deepEqual(
    completed("preftune train my-r").map(([name]) => name),
    ["my-run.yaml"],
  );
  assert.deepEqual(completed("preftune generate --learning_"), [[""]]);
});

test("every command, option and key is there, and nothing that a shell would read", async () => {
  const { status, stdout, stderr } = await preftune("completion", "bash");
  assert.equal(status, 0, stderr);
  assert.equal(stdout, scripts["bash"]);
  for (const text of Object.values(scripts)) {
    for (const key of CONFIG_KEYS) assert.ok(text.includes(key), key);
    for (const { path } of completions.commands) assert.ok(text.includes(path), path);
    assert.ok(!/\$\((?!compgen|string|commandline)|`/.test(text), "a command in the script");
  }
  const refused = await preftune("completion", "powershell");
  assert.equal(refused.status, 2);
  assert.match(refused.stderr, /bash, zsh, fish/);
});

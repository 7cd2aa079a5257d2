/**
 * Outputs of trainings and exports that the manual shows, of models and data that are not here or on another machine: the same commands on a
 * tiny model, or on the quick start's, print the same lines but for the numbers, and what a collapse is seen by, which differs by processor. In
 * full only. Not among them: answers of models that are not here.
 */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { stripVTControlCharacters } from "node:util";
import { isNightly } from "../support/campaign.ts";
import { manualShell } from "../support/manual-shell.ts";
import { runFixture } from "../support/runs.ts";
import { shownOutput } from "../support/snippets.ts";
import { writeRows } from "../support/tiny-model.ts";

const root = join(import.meta.dirname, "../..");
// the program `script` as Linux has it
const skip = !isNightly ? "in full only" : process.platform !== "linux" && "for Linux";
const fixture = runFixture({ rows: 2, held: 0 });
after(() => fixture[Symbol.dispose]());
const cwd = fixture.path("reader");
mkdirSync(cwd);
const shell = manualShell(cwd, {
  ...{ recipes: join(root, "recipes"), models: fixture.path("models") },
  ...{ tiny: fixture.path("base"), scripts: join(root, "scripts") },
});
mkdirSync(fixture.path("models"));
symlinkSync(fixture.path("base"), fixture.path("models", "SmolLM2-135M-Instruct"));

/** Pairs of which every second one has the longer answer chosen, every third a long prompt. */
const rows = Array.from({ length: 24 }, (_, i) => {
  const [long, short] = [`the ${i}th island, as far as anyone knows`, "none"];
  const prompt = `${"where is it? ".repeat(i % 3 === 0 ? 40 : 1)}${i}`;
  return { prompt, chosen: i % 2 === 0 ? long : short, rejected: i % 2 === 0 ? short : long };
});

/** The lines of a text with numbers, keys and lengths of rules masked, and without what moves a terminal's cursor. */
function masked(text: string): string[] {
  const lines = stripVTControlCharacters(text)
    .split(/[\n\r]+/)
    .map((line) =>
      line
        .replaceAll(/(?<=\s)[\w-]{32}(?=\s|$)/g, "KEY")
        .replaceAll(/(?<![\w.])[-+−]?\d+(,\d{3})*(\.\d+)?(e[-+]?\d+)?/g, "#")
        .replaceAll("# min # s", "# s")
        .replace(/(?<=the best checkpoint before it:).*/, "")
        .replaceAll(/\b[KMG]iB\b/g, "MiB")
        .replaceAll(/─+/g, "─")
        .replaceAll(/\bbfloat16\b/g, "float32")
        .replaceAll(/\s+/g, " ")
        .trim(),
    );
  return lines.filter((line) => line !== "");
}

/** Checks that the lines of `output` contain those of the manual in their order; a line of dots stands for any lines. */
function checkForm(output: string, manual: string): void {
  const printed = masked(output);
  let from = 0;
  for (const line of masked(manual)) {
    if (line === "...") continue;
    const at = printed.indexOf(line, from);
    assert.ok(at >= 0, `no line "${line}" in\n${printed.slice(from).join("\n")}\nof\n${output}`);
    from = at + 1;
  }
}

/** What a script prints, standard error among it. */
async function printed(script: string): Promise<string> {
  const { status, stdout } = await shell(`exec 2>&1\n${script}`);
  assert.equal(status, 0, stdout);
  return stdout;
}

/** A script that runs a command on a terminal: elsewhere trainings and servers print JSON. What is seen there goes to the file `seen`. */
const onTerminal = (command: string): string => `cat >block.sh <<'BLOCK'
${command.trimEnd()}
BLOCK
script -qefc 'stty cols 400; . ./block.sh' seen >screen`;

/** The same, and then what is seen there as its output. */
const seenOnTerminal = (command: string): string => `${onTerminal(command)}
cat seen`;

/** Runs the command of the page whose block begins with `begin`, changed by `change`, and checks its output. */
async function check(page: string, begin: string, change = (command: string): string => command) {
  const { command, output } = shownOutput(join(root, page), begin);
  checkForm(await printed(change(command)), output);
}

test("a masked line is found in its order, and another one is not", () => {
  checkForm("a\nstep 12: loss −3.1e-4\nb 1\n", "step 3: loss 0.25\n...\nb 2\n");
  assert.throws(() => checkForm("b 1\nstep 12: loss 1\n", "step 3: loss 1\nb 2\n"), /no line "b #"/);
  assert.throws(() => checkForm("step 12: lost 1\n", "step 3: loss 1\n"), /no line "step #: loss #"/);
});

suite("on a tiny model", () => {
  test("generation.md: --timings", { skip }, async () => {
    const [, command = "", output = ""] =
      /^\$ (preftune generate .* --timings)\n(.*)\n/m.exec(
        readFileSync(join(root, "docs/generation.md"), "utf8"),
      ) ?? [];
    checkForm(await printed(`npx ${command}`), output);
  });

  test("reward-models.md: a reward model is trained and scores held-out pairs", { skip }, async () => {
    for (const name of ["train", "test"]) writeRows(join(cwd, `helpful.${name}.jsonl`), rows);
    await check("docs/reward-models.md", "npx preftune train recipes/reward-smollm2-135m.yaml");
  });

  test("gguf.md: what four bits cost", { skip }, async () => {
    writeRows(join(cwd, "pairs.jsonl"), rows);
    const output = /^```text\n(mine-q4_0.*?)^```$/ms.exec(
      readFileSync(join(root, "docs/gguf.md"), "utf8"),
    )?.[1];
    const command = "npx preftune export gguf tiny --type q4_0 --output mine-q4_0.gguf --data pairs.jsonl";
    checkForm(await printed(command), output ?? assert.fail("no block"));
  });
});

suite("on the quick start's model", () => {
  test("README.md: the quick start's table", { skip }, async () => {
    const { output } = shownOutput(join(root, "README.md"), "git clone");
    checkForm(await printed("node --conditions=preftune-source scripts/quickstart.ts"), output);
  });

  test("serving.md: what serve prints at its start", { skip }, async () => {
    await check(
      "docs/serving.md",
      "npx preftune serve",
      (command) => `${onTerminal(`${command.trimEnd()} --port 0`)} &
        until grep -q 'ready: ' seen; do kill -0 $!; sleep 0.2; done
        kill $!
        wait $! || true
        cat seen`,
    );
  });

  test("collapse.md: the diversity of its answers", { skip }, async () => {
    await check("docs/collapse.md", "npx preftune evaluate diversity");
  });

  test("collapse.md: a run made to collapse goes back to a checkpoint before it", { skip }, async () => {
    await check("docs/collapse.md", "npx preftune train recipes/quickstart.yaml", seenOnTerminal);
  });

  test("online.md: an on-policy training, and the replay of one of its steps", { skip }, async () => {
    await check("docs/online.md", "npx preftune train recipes/online-quickstart.yaml", seenOnTerminal);
    await check("docs/online.md", "npx preftune replay");
  });
});

/** Files of reward functions that can be loaded, and that cannot: what is wrong is said before anything is sampled. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { inFolderOf, inputOf, obedient } from "../../test/support/reward-files.ts";
import { openRewards } from "./open-rewards.ts";

inFolderOf({
  "rewards.ts": obedient,
  "uses.ts": `import { half } from "./helper.ts";\nimport { twice } from "twice";
type Input = { completions: string[] };\nexport const f = ({ completions }: Input): number[] => completions.map((c) => twice(half(c.length)));\n`,
  "helper.ts": "export const half = (n: number): number => n / 2;\n",
  "plain.cjs": "exports.f = ({ completions }) => completions.map(() => 7);\n",
  "throws.ts": `const x = 1;\n\nthrow new Error("no token is set");\n`,
  "syntax.mjs": "const x = 1;\n\nexport const y = {;\n",
  "enum.ts": "enum A { B }\nexport const f = () => [];\n",
  "lacks.ts": `import "not-there";\nexport const f = () => [];\n`,
  "exits.ts": `console.error("good bye");\nprocess.exit(4);\n`,
  "none.ts": "const f = () => [];\n",
  "score.py": "pass\n",
  "notes.txt": "",
});
mkdirSync("node_modules/twice", { recursive: true });
writeFileSync("node_modules/twice/package.json", '{"name":"twice","type":"module","exports":"./index.js"}');
writeFileSync("node_modules/twice/index.js", "export const twice = (n) => 2 * n;\n");

test("a module may import its neighbours and its own packages; its files are given with their hashes", async () => {
  await using rewards = await openRewards(["uses.ts#f", { function: "plain.cjs#f", name: "g" }, "exact"]);
  const { functions } = await rewards.score(inputOf(["abc"], { answer: ["x"] }));
  assert.deepEqual(
    functions.map(({ values }) => values[0]),
    [3, 7, 0],
  );
  const sha256 = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");
  const file = (path: string) => ({ path, sha256: sha256(path) });
  assert.deepEqual(rewards.files, [[file("uses.ts"), file("helper.ts")], [file("plain.cjs")], []]);
});

const cases: [string, RegExp][] = [
  ["reward.ts#obey", /^reward\.ts: there is no such file\. Did you mean rewards\.ts#obey\?$/],
  ["rewards.js", /^rewards\.js: there is no such file\. Did you mean rewards\.ts\?$/],
  ["elsewhere/xyz.ts#f", /^elsewhere\/xyz\.ts: there is no such file\. It is looked for in /],
  [
    "rewards.ts#obay",
    /^rewards\.ts: expected an export "obay", found bestOfGroup, .*\. Did you mean "obey"\?$/,
  ],
  ["helper.ts", /^helper\.ts: expected a default export, found half\. Write helper\.ts#half\.$/],
  [
    "none.ts#f",
    /^none\.ts: expected an export "f", found no function\. Write `export` before the function\.$/,
  ],
  ["rewards.ts#number", /expected an export "number" that is a function, got a value of type number\./],
  ["rewards.ts#Judge", /expected an export "Judge" that is a function, got a class\./],
  ["throws.ts", /^throws\.ts cannot be loaded: no token is set \(line 3\)\.$/],
  ["syntax.mjs#y", /^syntax\.mjs cannot be loaded: Unexpected token ';'/],
  [
    "enum.ts#f",
    /^enum\.ts cannot be loaded: .*enum.* \(line 1\)\. Node runs TypeScript whose types can be erased/,
  ],
  ["lacks.ts#f", /^lacks\.ts cannot be loaded: Cannot find package 'not-there'.*\. Install the package/],
  [
    "exits.ts",
    /^exits: the process that loads the reward functions ended with status 4\. It wrote: \[exits\] good bye/,
  ],
  [
    "score.py#f",
    /^score\.py: expected a TypeScript or JavaScript module, got Python\. Write the function in a \.ts file/,
  ],
  ["node_modules/#f", /^node_modules\/: expected a TypeScript or JavaScript module, got a directory\./],
  ["notes.txt#f", /^notes\.txt: expected a module that ends with \.ts, /],
];

for (const [spec, message] of cases) {
  test(`${spec} is refused`, async () => {
    const opening = openRewards([spec], { onOutput: () => {} });
    await assert.rejects(opening, { name: "RewardError", message });
  });
}

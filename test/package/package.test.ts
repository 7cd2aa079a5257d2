/** The package as others use it: what it holds, what its types are worth, and what importing it needs. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parse, parseDocument } from "yaml";
import { ConfigError } from "../../src/base/errors.ts";
import { requireNode } from "../../src/base/node-version.ts";
import { isConfigKey } from "../../src/config/keys.ts";
import { alternatives, snippetsOf } from "../support/snippets.ts";

const root = join(import.meta.dirname, "../..");
const documents = ["README.md", ...globSync("docs/*.md", { cwd: root })];

/** A folder in the checkout, so that packages are found from it, which is removed at the end. */
function scratch(): { path: string } & Disposable {
  mkdirSync(join(root, ".preftune"), { recursive: true });
  const path = mkdtempSync(join(root, ".preftune", "package-test-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** The parts of runs' configurations that a document shows, and nothing else. */
function shownConfigs(document: string): object[] {
  const snippets = snippetsOf(readFileSync(join(root, document), "utf8"), "yaml").flatMap(alternatives);
  const values = snippets.map((yaml) => parseDocument(yaml).toJS() as object);
  return values.filter((one) => Object.keys(one).every(isConfigKey));
}

const recipe = (name: string): object[] => [parse(readFileSync(join(root, name), "utf8")) as object];

function compile(project: string): string {
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const { stdout, stderr } = spawnSync(process.execPath, [tsc, "-p", project], { encoding: "utf8" });
  return `${stdout}${stderr}`;
}

test("the documents' TypeScript, and configurations as `train` takes them, compile against the published types, strictly and with every library checked", () => {
  using folder = scratch();
  const declarations = join(folder.path, "node_modules", "preftune");
  mkdirSync(declarations, { recursive: true });
  const emit = {
    extends: join(root, "tsconfig.build.json"),
    compilerOptions: {
      rootDir: join(root, "src"),
      outDir: join(declarations, "dist"),
      emitDeclarationOnly: true,
    },
    include: [join(root, "src")],
    exclude: [join(root, "src/**/*.test.ts"), join(root, "src/dashboard/page")],
  };
  writeFileSync(join(folder.path, "emit.json"), JSON.stringify(emit));
  assert.equal(compile(join(folder.path, "emit.json")), "");
  const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  writeFileSync(
    join(declarations, "package.json"),
    JSON.stringify({ name: "preftune", type: "module", exports }),
  );
  const use = {
    compilerOptions: {
      target: "ES2024",
      lib: ["ES2024", "ESNext.Disposable"],
      module: "NodeNext",
      strict: true,
      noUnusedLocals: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      skipLibCheck: false,
      noEmit: true,
      types: ["node"],
      typeRoots: [join(root, "node_modules/@types")],
    },
    include: ["*.ts"],
  };
  writeFileSync(join(folder.path, "use.json"), JSON.stringify(use));
  writeFileSync(join(folder.path, "package.json"), '{"type": "module"}');
  let count = 0;
  for (const document of documents) {
    for (const code of snippetsOf(readFileSync(join(root, document), "utf8"))) {
      count += 1;
      writeFileSync(join(folder.path, `snippet-${count}.ts`), `// ${document}\n${code}`);
    }
  }
  assert.ok(count > 0, "README has TypeScript");
  const configs = [
    ...documents.flatMap(shownConfigs),
    ...globSync("recipes/*.yaml", { cwd: root }).flatMap(recipe),
  ];
  configs.push({ train_data: ["a.jsonl", { path: "b", weight: 2 }], reward_funcs: "exact" });
  configs.push({ reward_funcs: { function: "length", max: 16 }, eval_reward_funcs: ["rewards.ts#brevity"] });
  assert.ok(configs.length > 30, `${configs.length} configurations`);
  const rest = '{ model_name_or_path: "model", train_data: "pairs.jsonl", output_dir: "run" }';
  const typed = configs.map(
    (values, i) => `export const run${i}: TrainConfig = { ...${rest}, ...${JSON.stringify(values)} };`,
  );
  writeFileSync(
    join(folder.path, "configs.ts"),
    ['import type { TrainConfig } from "preftune";', ...typed].join("\n"),
  );
  assert.equal(compile(join(folder.path, "use.json")), "");
});

test("the package holds every file that its README links to, and says the Node it needs", () => {
  const npm = process.env["npm_execpath"];
  const [program, ...first] = npm?.endsWith(".js") ? [process.execPath, npm] : ["npm"];
  const args = [...first, "pack", "--dry-run", "--json", "--ignore-scripts"];
  const packed = spawnSync(program as string, args, { cwd: root, encoding: "utf8" });
  const [{ files }] = JSON.parse(packed.stdout) as [{ files: { path: string }[] }];
  const names = files.map(({ path }) => path);
  const readme = readFileSync(join(root, "README.md"), "utf8");
  const links = [...readme.matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, path]) => path as string);
  assert.ok(links.length > 10);
  const lacking = links.filter((link) => !names.some((name) => name === link || name.startsWith(`${link}/`)));
  assert.deepEqual(lacking, []);
  const { engines } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  assert.deepEqual(engines, { node: ">=24" });
});

test("importing it needs no torch; what computes says so at its first use, and can be caught", () => {
  const code = `
    const { ConfigError } = await import("preftune");
    const { loadMethod, objectiveOf } = await import("preftune/methods");
    const { tensor } = await import("preftune/torch");
    objectiveOf(loadMethod({ objective: "slime" }));
    try {
      tensor([1, 2]);
    } catch (error) {
      console.log(error instanceof ConfigError, error.message);
    }`;
  const env = { ...process.env, PREFTUNE_ADDON: "/nowhere/preftune.node" };
  const flags = ["--conditions=preftune-source", "--input-type=module", "-e", code];
  const { status, stdout, stderr } = spawnSync(process.execPath, flags, { cwd: root, env, encoding: "utf8" });
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^true PREFTUNE_ADDON=\/nowhere\/preftune\.node: no such file/);
});

test("an older Node prints which one is needed", () => {
  for (const version of ["18.20.4", "20.20.2", "22.1.0"]) {
    assert.throws(
      () => requireNode(version),
      (error) => error instanceof ConfigError && error.message.includes(`Node 24 or newer, got ${version}.`),
    );
  }
  for (const version of ["24.0.0", "26.1.0"]) requireNode(version);
});

/** Names that modules of Node have gained since 20: an import of one fails before the version is checked. */
const newer: Readonly<Record<string, RegExp | null>> = {
  "node:sqlite": null,
  "node:fs": /^(globSync|glob|openAsBlob)$/,
  "node:zlib": /[zZ]std/,
  "node:module": /^(registerHooks|stripTypeScriptTypes|enableCompileCache|findPackageJSON)$/,
  "node:util": /^(getCallSites|diff|setTraceSigInt)$/,
};

/** Names that `text` imports as values from modules of Node, and that Node 20 lacks. */
function newerImports(text: string): string[] {
  const imports = text.matchAll(/^import (?:\w+, )?\{([^}]*)\} from "(node:[\w/]+)";/gm);
  return [...imports].flatMap(([, names = "", from = ""]) => {
    const pattern = newer[from];
    if (pattern === undefined) return [];
    const values = names.split(",").map((name) => name.trim());
    return values.filter((name) => !name.startsWith("type ") && (pattern === null || pattern.test(name)));
  });
}

test("no module of the library imports by name what Node 20 lacks", () => {
  assert.deepEqual(newerImports('import { DatabaseSync } from "node:sqlite";'), ["DatabaseSync"]);
  for (const file of globSync("src/**/*.ts", { cwd: root })) {
    if (!file.endsWith(".test.ts"))
      assert.deepEqual(newerImports(readFileSync(join(root, file), "utf8")), [], file);
  }
});

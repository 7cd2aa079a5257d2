/** The tarball, installed where there is nothing else. In full only: npm fetches its dependencies. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import type { DoctorReport } from "../../src/setup/doctor.ts";
import { findTorch } from "../../src/setup/find-torch.ts";
import { isNightly } from "../support/campaign.ts";
import { runFixture } from "../support/runs.ts";
import { scratch } from "../support/scratch.ts";
import { snippetsOf } from "../support/snippets.ts";

const root = join(import.meta.dirname, "../..");
const folder = mkdtempSync(join(scratch(), "preftune-packed-"));
after(() => rmSync(folder, { recursive: true, force: true }));

interface Ran {
  status: number | null;
  stdout: string;
  stderr: string;
}

// a registry or a proxy may be named by variables
const env = {
  ...process.env,
  PATH: `${join(process.execPath, "..")}:${process.env["PATH"]}`,
  XDG_CACHE_HOME: join(folder, "cache"),
};

function run(cwd: string, program: string, ...args: string[]): Ran {
  return runWith({}, cwd, program, ...args);
}

function runWith(variables: NodeJS.ProcessEnv, cwd: string, program: string, ...args: string[]): Ran {
  const { status, stdout, stderr } = spawnSync(program, args, {
    cwd,
    env: { ...env, ...variables },
    encoding: "utf8",
    timeout: 600_000,
  });
  return { status, stdout, stderr };
}

function ok(ran: Ran): string {
  assert.equal(ran.status, 0, `${ran.stdout}\n${ran.stderr}`);
  return ran.stdout;
}

/** What a tarball may hold. */
const allowed =
  /^(bin\/[\w-]+\.mjs|dist\/[\w./-]+\.(js|d\.ts|txt|json|css|html)|docs\/[\w./-]+\.(md|json)|docs\/pictures\/[\w-]+\.png|examples\/[\w-]+\.(ts|jsonl)|native\/[\w./-]+\.(cpp|h)|recipes\/[\w.-]+\.yaml|[A-Z]+(\.md)?|package\.json|run\.schema\.json)$/;
const refused = /\.(test|nightly)\.|tsconfig|^dist\/(dashboard\/page\/.*\.tsx?$)/;

const skip = isNightly ? false : "in full only";

suite("the tarball", () => {
  let tarball = "";
  let names: string[] = [];

  before(() => {
    if (skip !== false) return;
    // .npmrc of the checkout switches scripts off, and prepack builds
    const packed = ok(
      run(root, "npm", "pack", "--ignore-scripts=false", "--json", "--pack-destination", folder),
    );
    const [entry] = JSON.parse(packed.slice(packed.indexOf("["))) as [
      { filename: string; size: number; files: { path: string }[] },
    ];
    tarball = join(folder, entry.filename);
    names = entry.files.map(({ path }) => path);
    assert.ok(entry.size < 5e6, `${entry.size} bytes`);
    writeFileSync(join(folder, "package.json"), '{"type": "module", "private": true}');
    const began = performance.now();
    ok(run(folder, "npm", "install", "--no-audit", "--no-fund", tarball));
    const seconds = (performance.now() - began) / 1000;
    console.log(`${(entry.size / 1e6).toFixed(2)} MB, installed in ${seconds.toFixed(0)} s`);
  });

  test("nothing but what is listed is in it", { skip }, () => {
    assert.deepEqual(
      names.filter((name) => !allowed.test(name) || refused.test(name)),
      [],
    );
    for (const name of [
      "dist/index.js",
      "dist/index.d.ts",
      "docs/data.md",
      "dist/dashboard/page/LICENCES.txt",
      "dist/dashboard/page/page.js",
    ]) {
      assert.ok(names.includes(name), name);
    }
    assert.ok(names.some((name) => /^dist\/dashboard\/page\/label-screen-\w+\.js$/.test(name)));
  });

  test("publint and Are The Types Wrong find nothing", { skip }, () => {
    const tools = join(root, "toolchain", "release");
    ok(run(tools, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"));
    const bin = join(tools, "node_modules", ".bin");
    assert.match(ok(run(folder, join(bin, "publint"), "run", tarball, "--strict")), /All good/);
    ok(run(folder, join(bin, "attw"), tarball, "--profile", "esm-only"));
  });

  test("doctor, data check and init run", { skip }, () => {
    using fixture = runFixture({ rows: 6, held: 0 });
    const model = String(fixture.values["model_name_or_path"]);
    const data = String(fixture.values["train_data"]);
    const { stdout } = run(folder, "npx", "preftune", "doctor", "--json");
    const report = JSON.parse(stdout) as DoctorReport;
    assert.equal(report.preftune.checkout, false);
    ok(run(folder, "npx", "preftune", "init", "run.yaml", "--model", model, "--data", data));
    assert.match(
      readFileSync(join(folder, "run.yaml"), "utf8"),
      /\$schema=node_modules\/preftune\/run\.schema\.json/,
    );
    assert.match(ok(run(folder, "npx", "preftune", "data", "check", "run.yaml")), /0 errors/);
  });

  test("without a prebuilt addon it is compiled; a training runs, and what it exports scores", {
    skip,
  }, () => {
    using fixture = runFixture({ rows: 6, held: 2 });
    const { model_name_or_path: model, eval_data: data } = fixture.values;
    const own = findTorch().torch ?? assert.fail("no torch");
    const variables = { PREFTUNE_TORCH: own.folder, PREFTUNE_PREBUILT: "no" };
    const preftune = (...args: string[]): string =>
      ok(runWith(variables, folder, "npx", "preftune", ...args));
    assert.match(preftune("setup"), /^Ready\.$/m);
    const report = JSON.parse(preftune("doctor", "--json")) as DoctorReport;
    assert.deepEqual([report.ready, report.addon.prebuilt, report.preftune.checkout], [true, false, false]);
    const config = {
      ...fixture.values,
      objective: "slime",
      use_peft: true,
      max_steps: 2,
      output_dir: "mine",
    };
    writeFileSync(join(folder, "train.yaml"), JSON.stringify(config));
    preftune("train", "train.yaml");
    const scoring = ["--model", String(model), "--adapter", "mine/adapter", "--data", String(data)];
    preftune("score", ...scoring, "--output", "scores.jsonl");
    assert.equal(readFileSync(join(folder, "scores.jsonl"), "utf8").trim().split("\n").length, 2);
  });

  test("its types compile strictly, by NodeNext and by bundler, examples and snippets of the docs too", {
    skip,
  }, () => {
    const source = join(folder, "use");
    mkdirSync(source);
    const installed = join(folder, "node_modules", "preftune");
    const documents = names.filter((name) => /^(README|docs\/[^/]+)\.md$/.test(name));
    const snippets = documents.flatMap((name) => snippetsOf(readFileSync(join(installed, name), "utf8")));
    assert.ok(snippets.length > 5);
    for (const [i, code] of snippets.entries()) writeFileSync(join(source, `snippet-${i}.ts`), code);
    for (const name of names.filter((one) => /^examples\/.*\.ts$/.test(one))) {
      writeFileSync(join(source, name.replace("/", "-")), readFileSync(join(installed, name), "utf8"));
    }
    mkdirSync(join(folder, "node_modules", "@types"), { recursive: true });
    symlinkSync(join(root, "node_modules/@types/node"), join(folder, "node_modules/@types/node"));
    for (const [module, moduleResolution] of [
      ["NodeNext", "NodeNext"],
      ["ESNext", "bundler"],
    ]) {
      const compilerOptions = {
        ...{ target: "ES2024", lib: ["ES2024", "ESNext.Disposable"], module, moduleResolution },
        ...{
          strict: true,
          skipLibCheck: false,
          noEmit: true,
          types: ["node"],
          allowImportingTsExtensions: true,
        },
      };
      writeFileSync(join(source, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.ts"] }));
      const tsc = join(root, "node_modules/typescript/bin/tsc");
      assert.equal(ok(run(source, process.execPath, tsc, "-p", ".")), "", String(moduleResolution));
    }
  });
});

/**
 * Ways out of the given directories, on every route of the router's own list whose path names something: `..`, encodings, absolute
 * paths, links; sent as they are, which a browser would not do. And files that are links: what they lead to is not shown.
 */
import assert from "node:assert/strict";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { hostileKey, serveDashboard, withDashboardApp, writeRun } from "../../test/support/dashboards.ts";
import { writeRound } from "../../test/support/rounds.ts";
import { scratch } from "../../test/support/scratch.ts";
import { sha256 } from "../base/files.ts";
import { roundPaths } from "../workbench/rounds/round-record.ts";
import { saveVersion } from "../workbench/versions.ts";
import { makeWorkbench } from "../workbench/workbench-dir.ts";
import type { Route } from "./route.ts";
import { idOf } from "./run-store.ts";

const secret = "what nobody is to see";
/** Of a form that a route reads. */
const secretFile = `note: ${secret}\n`;

/** Ways to name `file`, which lies beside the folder with the runs. */
const escapes = (file: string): string[] => [
  ...["..", ".", "%2e%2e", ".%2e", "..%2f..%2f..", "%2e%2e%2foutside%2fsecret.txt", "../outside/secret.txt"],
  ...[
    "..%2foutside%2fsecret",
    "..%5coutside%5csecret",
    "..;/outside",
    "....%2f%2foutside",
    "%252e%252e%252foutside",
  ],
  ...[
    "%c0%ae%c0%ae%2foutside",
    "..%00",
    "a%00",
    "a%2f..%2f..%2foutside",
    "link",
    "link%2fsecret.txt",
    "%2fetc%2fpasswd",
  ],
  ...[
    encodeURIComponent(file),
    file.slice(1),
    encodeURIComponent(`file://${file}`),
    "~",
    "%7eroot",
    "*",
    "%2a",
  ],
  ...["__proto__", "constructor", "outside", "secret.txt", "..%252foutside", "a%0d%0aX:y"],
];

/** A folder of runs, all that a dashboard names, and beside it a folder with a secret; links in the first lead into the second. */
async function withSecret(
  body: (place: { root: string; outside: string; ids: Readonly<Record<string, string>> }) => Promise<void>,
): Promise<void> {
  const place = realpathSync(mkdtempSync(join(scratch(), "preftune-escapes-")));
  const [root, outside] = [join(place, "runs"), join(place, "outside")];
  try {
    mkdirSync(outside);
    const file = join(outside, "secret.txt");
    writeFileSync(file, secretFile);
    const run = writeRun(root, "a");
    const study = join(root, "study");
    writeRun(study, "b");
    writeFileSync(join(study, "study.json"), "{}");
    const round = writeRound(root, "round");
    const judged = join(root, "judged");
    mkdirSync(judged);
    writeFileSync(join(judged, "results.json"), "{}");
    const bench = join(root, "workbench");
    using store = makeWorkbench(bench);
    const pair = { prompt: "p", answers: ["x", "y"], models: [null, null], votes: [], extra: {} } as const;
    store.add([pair]);
    const rows = [{ prompt: "p", chosen: "x", rejected: "y" }];
    const { digest } = await saveVersion(bench, rows, {
      ...{ by: "export", sources: {}, rules: {}, counts: {} },
    });
    symlinkSync(outside, join(root, "link"));
    writeRun(outside, "hidden");
    symlinkSync(join(outside, "hidden"), join(root, "linked-run"));
    rmSync(join(run, "config.yaml"));
    rmSync(roundPaths(round).file);
    mkdirSync(roundPaths(round).compare, { recursive: true });
    for (const link of [
      ...[join(run, "config.yaml"), join(run, "report.html"), join(study, "report.html")],
      ...[
        join(judged, "report.html"),
        join(roundPaths(round).compare, "report.html"),
        roundPaths(round).file,
      ],
    ])
      symlinkSync(file, link);
    const ids = {
      ...{
        run: idOf(run),
        study: idOf(study),
        round: idOf(round),
        version: digest,
        step: "0",
        pair: hostileKey,
      },
      ...{ results: sha256(join(judged, "results.json")).slice(0, 16), item: store.order[0] ?? "" },
      ...{ job: "none", recipe: "none" },
    };
    await body({ root, outside, ids });
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

/** Every route; what they are is asked of the router. */
async function allRoutes(): Promise<readonly Route[]> {
  const all: Route[] = [];
  await withDashboardApp(async ({ routes }) => void all.push(...routes));
  return all;
}

const namesIn = (path: string): string[] => [...path.matchAll(/:(\w+)/g)].map(([, name = ""]) => name);

/** A name as a route gets it. */
function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

interface Answer {
  status: number;
  text: string;
}

/** Asks a dashboard for paths as they are, its owner. */
async function asker(link: string): Promise<(method: string, path: string) => Promise<Answer>> {
  const { origin, hash } = new URL(link);
  const headers = { "content-type": "application/json" };
  const body = JSON.stringify({ token: hash.replace("#token=", "") });
  const login = await fetch(`${origin}/api/session`, { method: "POST", headers, body });
  const cookie = login.headers.get("set-cookie")?.split(";")[0] ?? "";
  return (method, path) =>
    new Promise((resolve, reject) => {
      const asked = request(origin, { method, path, headers: { ...headers, cookie } }, (answer) => {
        text(answer).then((read) => resolve({ status: answer.statusCode ?? 0, text: read }), reject);
      });
      asked.on("error", reject).end(method === "GET" ? undefined : "{}");
    });
}

const everyFile = (dir: string): string[] =>
  readdirSync(dir, { recursive: true, encoding: "utf8" })
    .filter((name) => !name.startsWith(".dashboard"))
    .sort();

test("no name in a path of any route leads anywhere else, and nothing is changed by it", async () => {
  const routes = (await allRoutes()).filter(({ path }) => path.includes(":"));
  await withSecret(async ({ root, outside, ids }) => {
    const { dashboard, faults } = await serveDashboard(root);
    const ask = await asker(dashboard.link());
    const before = [everyFile(root), everyFile(outside)];
    let asked = 0;
    try {
      for (const { method, path } of routes) {
        for (const name of namesIn(path)) {
          assert.ok(name in ids, `${path}: what :${name} names is not tried here yet`);
          for (const way of escapes(join(outside, "secret.txt"))) {
            const tried = path.replace(/:(\w+)/g, (_, one: string) =>
              one === name ? way : (ids[one] ?? ""),
            );
            const answer = await ask(method, tried);
            const what = `${method} ${tried}: ${answer.status} ${answer.text.slice(0, 200)}`;
            assert.ok([400, 404, 405, 409, 422].includes(answer.status), what);
            // what was asked for may be said again
            const said = answer.text.replaceAll(decoded(way), "");
            for (const word of [secret, outside, root]) assert.ok(!said.includes(word), what);
            asked += 1;
          }
        }
      }
    } finally {
      await dashboard.close();
    }
    assert.ok(asked > 500, `${asked} paths`);
    assert.deepEqual([everyFile(root), everyFile(outside)], before);
    assert.deepEqual(faults, []);
  });
});

/** Names of all that routes take behind a `?`, from their sources. */
function queryNames(): string[] {
  const sources = readdirSync(import.meta.dirname).filter((name) => /^[^.]+\.ts$/.test(name));
  const texts = sources.map((name) => readFileSync(join(import.meta.dirname, name), "utf8"));
  return [
    ...new Set(
      texts.flatMap((one) => [...one.matchAll(/req\.query\("(\w+)"\)/g)].map(([, name = ""]) => name)),
    ),
  ];
}

test("no value behind a ? leads anywhere else, on any route", async () => {
  const names = queryNames();
  for (const known of ["runs", "group", "show"]) assert.ok(names.includes(known), known);
  const routes = (await allRoutes()).filter(({ method, path }) => method === "GET" && path !== "/api/stream");
  await withSecret(async ({ root, outside, ids }) => {
    const { dashboard, faults } = await serveDashboard(root);
    const ask = await asker(dashboard.link());
    try {
      for (const { path } of routes) {
        const filled = path.replace(/:(\w+)/g, (_, one: string) => ids[one] ?? "");
        for (const way of escapes(join(outside, "secret.txt"))) {
          const query = names.map((name) => `${name}=${name === "runs" ? `${way},${ids["run"]}` : way}`);
          const { status, text: said } = await ask("GET", `${filled}?${query.join("&")}`);
          assert.ok(status < 500 && !said.includes(secret), `${filled}?${query.join("&")}: ${status}`);
        }
      }
      const stream = await ask("GET", `/api/stream?runs=..%2foutside%2fhidden`);
      assert.match(
        stream.text,
        /^event: problem\ndata: {"message":"There is no such run: [^\n]*"}\nid: [^\n]*\n*$/,
      );
    } finally {
      await dashboard.close();
    }
    assert.deepEqual(faults, []);
  });
});

test("files that are links to elsewhere are not shown, nor runs that are", async () => {
  const routes = (await allRoutes()).filter(({ method, path }) => method === "GET" && path !== "/api/stream");
  await withSecret(async ({ root, outside, ids }) => {
    const { dashboard, faults } = await serveDashboard(root);
    const ask = await asker(dashboard.link());
    try {
      const others = { run: [idOf(join(outside, "hidden")), idOf(join(root, "linked-run"))] };
      for (const { path } of routes) {
        const filled = path.replace(/:(\w+)/g, (_, one: string) => ids[one] ?? "");
        const { text: said, status } = await ask("GET", filled);
        assert.ok(!said.includes(secret), `${filled} shows it`);
        if (/config\.yaml|report$|next$/.test(path)) assert.equal(status, 404, filled);
        else assert.ok(status < 500, `${filled}: ${said}`);
        if (!path.includes(":run")) continue;
        for (const run of others.run) {
          const other = path.replace(/:(\w+)/g, (_, one: string) => (one === "run" ? run : (ids[one] ?? "")));
          assert.equal((await ask("GET", other)).status, 404, other);
        }
      }
    } finally {
      await dashboard.close();
    }
    assert.deepEqual(faults, []);
  });
});

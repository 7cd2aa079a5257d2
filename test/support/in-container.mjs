/**
 * Runs inside the image of test/campaign/container.test.ts, as its user: what a user of the image can and cannot do. Prints its findings as
 * JSON, of which the test judges.
 */
import { spawn, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";

const base = "http://127.0.0.1:8000";
const key = "a-key-of-the-test-that-is-long-enough";

/** @param {string} path */
function writing(path) {
  try {
    writeFileSync(path, "x");
    return "written";
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code;
  }
}

const health = () => spawnSync("node", ["/opt/preftune/health.mjs"]).status;

/** @param {string} path @param {RequestInit} [request] */
const status = async (path, request) =>
  (await fetch(`${base}${path}`, { redirect: "manual", ...request })).status;

/**
 * Starts `preftune ARGS`, waits for it to be healthy, does `use`, and ends it.
 *
 * @template T @param {string[]} args @param {(said: () => string) => Promise<T>} use
 */
async function withServer(args, use) {
  const env = { ...process.env, PREFTUNE_API_KEY: key };
  const child = spawn("preftune", args, { env, stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (said += chunk));
  try {
    for (let waited = 0; health() !== 0; waited++) {
      if (waited > 240 || child.exitCode !== null) throw new Error(`not healthy: ${said}`);
      await setTimeout(500);
    }
    return await use(() => said);
  } finally {
    child.kill("SIGTERM");
    await new Promise((resolve) => child.once("close", resolve));
  }
}

const doctor = spawnSync("preftune", ["doctor"], { encoding: "utf8" });
const quick = spawnSync("node", ["/opt/preftune/quickstart.mjs", "--fast"], { encoding: "utf8" });
const authorization = { authorization: `Bearer ${key}`, "content-type": "application/json" };
const body = JSON.stringify({
  model: "m",
  messages: [{ role: "user", content: "What does Lund sell?" }],
  max_tokens: 4,
});
const server = [
  "serve",
  "--model",
  "/runs/quickstart/slime/model",
  "--name",
  "m",
  "--host",
  "0.0.0.0",
  "--port",
  "8000",
];
const dashboard = [
  "dashboard",
  "/runs",
  "--host",
  "0.0.0.0",
  "--port",
  "8000",
  "--allowed-hosts",
  "runs.example",
];

const findings = {
  user: process.getuid?.(),
  root: writing("/opt/preftune/x"),
  outside: writing("/usr/local/x"),
  volume: writing("/runs/x"),
  healthWithoutServer: health(),
  doctor: { status: doctor.status, text: `${doctor.stdout}${doctor.stderr}` },
  quickstart: { status: quick.status, text: `${quick.stdout}${quick.stderr}` },
  serve:
    quick.status === 0 &&
    (await withServer(server, async () => ({
      health: await status("/health"),
      withoutKey: await status("/v1/models"),
      wrongKey: await status("/v1/models", { headers: { authorization: "Bearer x" } }),
      answer: await status("/v1/chat/completions", { method: "POST", headers: authorization, body }),
    }))),
  dashboard: await withServer(dashboard, async (said) => {
    while (!said().includes("#token=")) await setTimeout(100);
    const token = /#token=(\S+)/.exec(said())?.[1] ?? "";
    const headers = { "content-type": "application/json", origin: base };
    const session = () =>
      fetch(`${base}/api/session`, { method: "POST", headers, body: JSON.stringify({ token }) });
    const withoutKey = await status("/api/runs");
    const opened = await session();
    const cookie = (opened.headers.get("set-cookie") ?? "").split(";")[0] ?? "";
    const withKey = await status("/api/runs", { headers: { cookie } });
    return { withoutKey, opened: opened.status, withKey, again: (await session()).status };
  }),
};
process.stdout.write(`FINDINGS ${JSON.stringify(findings)}\n`);

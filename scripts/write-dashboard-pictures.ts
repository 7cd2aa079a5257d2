/**
 * The pictures of docs/dashboard.md: screens of the dashboard over the runs of a folder, `runs` unless another is given. Needs
 * Chromium (PREFTUNE_CHROMIUM, else /usr/bin/chromium). `npm run ts -- scripts/write-dashboard-pictures.ts [DIR [NAME]]`. The runs are not touched.
 * With NAME that picture alone: `round` is of a folder with a round. Of a folder with a `workbench` the screens of that are taken, and
 * New run and Queue: DIR is where its run was started, and the same run is started again and stopped.
 */
import { cpSync, existsSync, globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { chromium, type Page } from "playwright-core";
import { formatBytes } from "../src/base/file-io.ts";
import { writeFileAtomic } from "../src/base/files.ts";
import type { ListedVersion, VersionRows } from "../src/dashboard/clean-routes.ts";
import { type Dashboard, startDashboard } from "../src/dashboard/dashboard.ts";
import { isAlive } from "../src/dashboard/job-process.ts";
import type { Job } from "../src/dashboard/jobs.ts";
import type { Summary } from "../src/dashboard/run-summary.ts";

const pictures = join(import.meta.dirname, "..", "docs", "pictures");
/** Largest picture: they are in the repository for ever. */
const mostBytes = 150_000;

/** A screen, and what of it is shown. */
interface Picture {
  name: string;
  place: string;
  /** What has to be there before it is taken. */
  wanted: string;
  /** What is done then. */
  act?: (page: Page) => Promise<void>;
  /** Of the part at the top; left out: the beginning. */
  from?: string;
  height: number;
}

function picturesOf(runs: readonly Summary[], baseline: Summary): Picture[] {
  const compared = runs.filter(({ chosen }) => chosen !== null).map(({ id }) => id);
  return [
    { name: "runs", place: "#/runs", wanted: ".mark", height: 560 },
    { name: "run", place: `#/runs/${baseline.id}`, wanted: ".u-wrap", height: 900 },
    { name: "pairs", place: `#/runs/${baseline.id}`, wanted: "#pairs", from: "#pairs", height: 620 },
    { name: "answers", place: `#/runs/${baseline.id}`, wanted: "#answers", from: "#answers", height: 560 },
    {
      name: "compare",
      place: `#/compare?runs=${compared.slice(0, 8).join()}`,
      wanted: ".u-wrap",
      height: 820,
    },
  ];
}

/** The screens of a workbench, and of a run that is made again. */
function benchPictures({ id }: Summary, version: { digest: string; source: string | null }): Picture[] {
  return [
    {
      ...{ name: "data", place: `#/data?rows=${version.source}&like=${version.digest}`, height: 1180 },
      ...{ wanted: "fieldset.filter", act: (page) => page.getByRole("button", { name: "Count" }).click() },
    },
    { name: "version", place: `#/data/${version.digest}`, wanted: "article", height: 940, act: unfold },
    { name: "label", place: "#/label", wanted: ".sides", height: 720 },
    { name: "judge", place: "#/judge", wanted: "details", height: 860, act: unfold },
    { name: "people", place: "#/people", wanted: "table", height: 700 },
    { name: "new-run", place: `#/start?run=${id}`, wanted: "form", height: 820 },
    {
      ...{ name: "check", place: `#/start?run=${id}`, wanted: "form", height: 820 },
      ...{ act: check, from: "section > section" },
    },
    { name: "queue", place: `#/start?run=${id}`, wanted: "form", height: 620, act: start },
  ];
}

/** Opens the first of what is folded. */
async function unfold(page: Page): Promise<void> {
  await page.locator("summary").first().click();
}

/** Presses "Check", and waits for the data check and the plan. */
async function check(page: Page): Promise<void> {
  await page.getByRole("button", { name: "Check", exact: true }).click();
  await page.getByRole("heading", { name: "Plan" }).waitFor();
  await page.getByText("Running …").first().waitFor({ state: "detached" });
}

/** Starts two runs: the second one waits for the first. */
async function start(page: Page): Promise<void> {
  for (const rate of ["1e-3", "2e-4"]) {
    await page.locator("form").waitFor();
    await page.getByRole("textbox", { name: "output_dir" }).fill(`runs/rate-${rate}`);
    await page.getByRole("textbox", { name: "learning_rate", exact: true }).fill(rate);
    await page.getByRole("button", { name: "Check", exact: true }).click();
    await page.getByRole("button", { name: "Start", exact: true }).click();
    await page.getByRole("heading", { name: "Queue" }).waitFor();
    if (rate === "1e-3") await page.goBack();
  }
  await page.getByRole("button", { name: "Output" }).first().click();
  await page.getByText("trainRows").waitFor();
}

async function take(
  page: Page,
  link: string,
  { name, place, wanted, act, from, height }: Picture,
): Promise<void> {
  await page.setViewportSize({ width: 1200, height });
  await page.goto(new URL(place, link).href);
  // another place behind # is no other page
  await page.reload();
  await page.locator(wanted).first().waitFor();
  await act?.(page);
  if (from !== undefined)
    await page
      .locator(from)
      .first()
      .evaluate((part) => part.scrollIntoView());
  // charts are drawn when they come into view
  await page.waitForTimeout(1500);
  const bytes = await page.screenshot();
  if (bytes.length > mostBytes)
    throw new Error(`${name}.png has ${formatBytes(bytes.length)}: make it smaller`);
  const path = join(pictures, `${name}.png`);
  writeFileAtomic(path, bytes);
  console.log(`${path} ${formatBytes(bytes.length)}`);
}

async function takeAll(dashboard: Dashboard): Promise<void> {
  const executablePath = process.env["PREFTUNE_CHROMIUM"] ?? "/usr/bin/chromium";
  // as root, in containers, Chromium has no sandbox
  const args = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  const browser = await chromium.launch({ executablePath, args });
  try {
    const page = await (await browser.newContext({ colorScheme: "light" })).newPage();
    const link = dashboard.link();
    await page.goto(link);
    await page.locator("table.runs").waitFor();
    const ask = async (path: string, data?: object) =>
      (await (
        await page.request.fetch(new URL(path, link).href, data && { method: "POST", data })
      ).json()) as unknown;
    const { runs } = (await ask("/api/runs")) as { runs: Summary[] };
    const baseline = runs.find(({ objective }) => objective.startsWith("slime")) ?? runs[0];
    if (baseline === undefined) throw new Error("There is no run: npm run quickstart makes some.");
    const all = hasBench ? await ofBench(ask, baseline) : await ofRuns(ask, runs, baseline);
    const wanted = all.filter(({ name }) => only === undefined || name === only);
    for (const picture of wanted) await take(page, link, picture);
  } finally {
    await browser.close();
  }
}

type Ask = (path: string, data?: object) => Promise<unknown>;

async function ofRuns(ask: Ask, runs: readonly Summary[], baseline: Summary): Promise<Picture[]> {
  await ask(`/api/runs/${baseline.id}/marks`, { isBaseline: true, tags: ["first"] });
  const { html } = (await ask("/api/rounds")) as { html: string };
  const [place] = /#\/rounds\/[\w-]+/.exec(html) ?? [];
  const round = place === undefined ? [] : [{ name: "round", place, wanted: ".round-graph", height: 820 }];
  return [...picturesOf(runs, baseline), ...round];
}

async function ofBench(ask: Ask, run: Summary): Promise<Picture[]> {
  const { versions } = (await ask("/api/versions")) as { versions: ListedVersion[] };
  const cleaned = versions.find(({ by }) => by === "clean");
  if (cleaned === undefined) throw new Error("There is no version that preftune data clean made.");
  const { source } = (await ask(`/api/versions/${cleaned.digest}`)) as VersionRows;
  return benchPictures(run, { digest: cleaned.digest, source });
}

/** Ends what was started for the queue: its folder is thrown away. */
function endJobs(): void {
  for (const path of globSync(join(copy, ".dashboard", "jobs", "*", "job.json"))) {
    const job = JSON.parse(readFileSync(path, "utf8")) as Job;
    if (job.state === "started" && job.process !== null && isAlive(job.process))
      process.kill(-job.process.pid, "SIGKILL");
  }
}

const [dir = "runs", only] = process.argv.slice(2);
const copy = mkdtempSync(join(tmpdir(), "preftune-pictures-"));
const hasBench = existsSync(join(dir, "workbench"));
try {
  const weights = /^(checkpoints|model|adapter|reference|\.dashboard)$/;
  cpSync(dir, copy, { recursive: true, filter: (path) => !weights.test(basename(path)) });
  // paths of its run are relative to it
  if (hasBench) process.chdir(copy);
  const program = hasBench ? join(import.meta.dirname, "..", "bin", "preftune.mjs") : "--version";
  const dashboard = await startDashboard({
    ...{ dirs: [copy], host: "127.0.0.1", port: 0, allowedHosts: [], program: [process.execPath, program] },
    onFault: (error) => {
      throw error;
    },
  });
  await takeAll(dashboard);
  await dashboard.close();
} finally {
  endJobs();
  rmSync(copy, { recursive: true, force: true });
}

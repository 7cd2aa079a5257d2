/**
 * The pictures of docs/dashboard.md: screens of the dashboard over the runs of a folder, `runs` unless another is given. Needs
 * Chromium (PREFTUNE_CHROMIUM, else /usr/bin/chromium). `npm run ts -- scripts/write-dashboard-pictures.ts [DIR [NAME]]`. The runs are not touched.
 * With NAME that picture alone: `round` is of a folder with a round.
 */
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { chromium, type Page } from "playwright-core";
import { formatBytes } from "../src/base/file-io.ts";
import { writeFileAtomic } from "../src/base/files.ts";
import { type Dashboard, startDashboard } from "../src/dashboard/dashboard.ts";
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
  /** Id of the part at the top; left out: the beginning. */
  from?: string;
  height: number;
}

function picturesOf(runs: readonly Summary[], baseline: Summary): Picture[] {
  const compared = runs.filter(({ chosen }) => chosen !== null).map(({ id }) => id);
  return [
    { name: "runs", place: "#/runs", wanted: ".mark", height: 560 },
    { name: "run", place: `#/runs/${baseline.id}`, wanted: ".u-wrap", height: 900 },
    { name: "pairs", place: `#/runs/${baseline.id}`, wanted: "#pairs", from: "pairs", height: 620 },
    { name: "answers", place: `#/runs/${baseline.id}`, wanted: "#answers", from: "answers", height: 560 },
    {
      name: "compare",
      place: `#/compare?runs=${compared.slice(0, 8).join()}`,
      wanted: ".u-wrap",
      height: 820,
    },
  ];
}

async function take(page: Page, link: string, { name, place, wanted, from, height }: Picture): Promise<void> {
  await page.setViewportSize({ width: 1200, height });
  await page.goto(new URL(place, link).href);
  // another place behind # is no other page
  await page.reload();
  await page.locator(wanted).first().waitFor();
  if (from !== undefined) await page.locator(`#${from}`).evaluate((part) => part.scrollIntoView());
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
    await ask(`/api/runs/${baseline.id}/marks`, { isBaseline: true, tags: ["first"] });
    const { html } = (await ask("/api/rounds")) as { html: string };
    const [place] = /#\/rounds\/[\w-]+/.exec(html) ?? [];
    const round = place === undefined ? [] : [{ name: "round", place, wanted: ".round-graph", height: 820 }];
    const all: Picture[] = [...picturesOf(runs, baseline), ...round];
    const wanted = all.filter(({ name }) => only === undefined || name === only);
    for (const picture of wanted) await take(page, link, picture);
  } finally {
    await browser.close();
  }
}

const [dir = "runs", only] = process.argv.slice(2);
const copy = mkdtempSync(join(tmpdir(), "preftune-pictures-"));
try {
  const weights = /^(checkpoints|model|adapter|reference|\.dashboard)$/;
  cpSync(dir, copy, { recursive: true, filter: (path) => !weights.test(basename(path)) });
  const dashboard = await startDashboard({
    ...{ dirs: [copy], host: "127.0.0.1", port: 0, allowedHosts: [], program: [process.execPath, "-e", ""] },
    onFault: (error) => {
      throw error;
    },
  });
  await takeAll(dashboard);
  await dashboard.close();
} finally {
  rmSync(copy, { recursive: true, force: true });
}

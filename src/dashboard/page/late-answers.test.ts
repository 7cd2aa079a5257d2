/** Answers that come when the page is somewhere else already, or not at all, in a real browser. */
import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, realpathSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { drawn, routedContext, skipsBrowser, startBrowser } from "../../../test/support/browser.ts";
import { fewRows, serveDashboard, writeRun } from "../../../test/support/dashboards.ts";
import { scratch } from "../../../test/support/scratch.ts";
import type { Dashboard } from "../dashboard.ts";
import { idOf } from "../run-store.ts";

let root = "";
let run = "";
let dashboard: Dashboard;
let browser: Browser;

before(async () => {
  if (skipsBrowser !== false) return;
  root = mkdtempSync(join(scratch(), "preftune-late-"));
  run = idOf(realpathSync(writeRun(root, "a", fewRows)));
  ({ dashboard } = await serveDashboard(root));
  browser = await startBrowser();
});

after(async () => {
  if (skipsBrowser !== false) return;
  await browser.close();
  await dashboard.close();
  rmSync(root, { recursive: true, force: true });
});

/** A new page at one of the screens. */
async function at(place: string): Promise<Page> {
  const page = await (await routedContext(browser)).newPage();
  const link = dashboard.link();
  await page.goto(link);
  await page.getByRole("navigation").waitFor();
  await page.goto(new URL(place, link).href);
  return page;
}

/** Keeps the first question of a path open until it is told to answer `json`. */
async function keepFirst(page: Page, path: string, json: (asked: number) => unknown): Promise<() => void> {
  const open = Promise.withResolvers<void>();
  let asked = 0;
  await page.route(`**${path}`, async (route) => {
    const own = asked++;
    if (own === 0) await open.promise;
    await route.fulfill({ json: json(own) });
  });
  return open.resolve;
}

test("a vote on a battle that is answered when the next one is shown names nobody there, which waits for its own", {
  skip: skipsBrowser,
}, async () => {
  const page = await at("#/arena");
  let battles = 0;
  await page.route("**/api/arena/battles", async (route) => {
    const pieces = [
      { battle: `battle ${battles}` },
      { left: `Left ${battles}.` },
      { right: "b" },
      { done: true },
    ];
    battles++;
    await route.fulfill({ body: pieces.map((piece) => `${JSON.stringify(piece)}\n`).join("") });
  });
  const answer = await keepFirst(page, "/api/arena/votes", (i) => ({ left: `alpha ${i}`, right: "omega" }));
  await page.getByLabel("Prompt").fill("Why?");
  const left = page.getByRole("button", { name: "Left better" });
  for (const text of ["Left 0.", "Left 1."]) {
    await page.keyboard.press("Control+Enter");
    await page.getByText(text).waitFor();
    if (text === "Left 0.") await left.click();
    await page.getByLabel("Prompt").focus();
  }
  const first = page.waitForResponse("**/api/arena/votes");
  answer();
  await first;
  await drawn(page);
  assert.equal(await page.getByText("alpha 0").count(), 0);
  await left.click();
  await page.getByText("Left: alpha 1").waitFor();
});

test("a check of values that were changed meanwhile offers no start", { skip: skipsBrowser }, async () => {
  const page = await at("#/start");
  const answer = await keepFirst(page, "/api/drafts", (i) => ({
    ...{ id: `draft-${i}`, yaml: `checked: ${i}`, warnings: [], command: "preftune train" },
  }));
  await page.route("**/api/drafts/*/*", (route) => route.fulfill({ json: { isGood: true, text: "" } }));
  const check = page.getByRole("button", { name: "Check" });
  const first = page.waitForResponse("**/api/drafts");
  await check.click();
  await page.locator('[name="model_name_or_path"]').fill("other");
  answer();
  await first;
  await drawn(page);
  assert.equal(await page.getByText("Before the start").count(), 0);
  await check.click();
  await page.getByText("checked: 1").waitFor();
});

test("a dashboard that does not answer: a run is read when it does, and a log-out in vain says so", {
  skip: skipsBrowser,
}, async () => {
  const page = await at("#/runs");
  const silent = page.getByText("The dashboard does not answer: ");
  await page.route("**/curves?*", (route) => route.abort());
  await page.goto(new URL(`#/runs/${run}`, page.url()).href);
  await silent.waitFor();
  await page.unroute("**/curves?*");
  await page.getByRole("heading", { name: "a", exact: true, level: 1 }).waitFor();
  await silent.waitFor({ state: "detached" });
  const out = page.getByRole("button", { name: "Log out" });
  await page.route("**/api/session", (route) => route.abort());
  await out.click();
  await silent.waitFor();
  await page.unroute("**/api/session");
  // of a session that is over already
  await page.context().clearCookies();
  await out.click();
  await page.getByText("Nobody is logged in here").waitFor();
});

test("a job that is taken out of the queue is gone at once, however long the list took before", {
  skip: skipsBrowser,
}, async () => {
  const page = await (await routedContext(browser)).newPage();
  // each answer takes a minute by the page's clock, and no pause of ten seconds ends
  await page.addInitScript({
    content: `const later = setTimeout;
      window.setTimeout = (call, ms, ...rest) => (ms >= 10000 ? 0 : later(call, ms, ...rest));
      let minutes = 0;
      performance.now = () => 60000 * minutes++;`,
  });
  let isThere = true;
  const job = { id: "x", name: "waiting", state: "queued", isResume: false, device: "cpu", run: null };
  await page.route("**/api/jobs", (route) => route.fulfill({ json: { jobs: isThere ? [job] : [] } }));
  await page.route("**/api/jobs/x", (route) => {
    isThere = false;
    return route.fulfill({ json: {} });
  });
  await page.goto(dashboard.link());
  await page.getByRole("navigation").waitFor();
  await page.goto(new URL("#/queue", dashboard.link()).href);
  await page.getByRole("button", { name: "Take out of the queue" }).click();
  await page.getByRole("article", { name: "waiting" }).waitFor({ state: "detached" });
});

test("pairs that cannot be read are not 0 pairs; filters that did not come are asked for when their panel is opened again", {
  skip: skipsBrowser,
}, async () => {
  const page = await at("#/runs");
  await page.route("**/api/items?*", (route) => route.fulfill({ status: 500, json: { error: "no pairs" } }));
  await page.route("**/api/cleaning", (route) => route.abort());
  await page.evaluate(() => {
    location.hash = "#/data";
  });
  await page.getByText("no pairs").waitFor();
  assert.doesNotMatch(await page.locator("main").innerText(), /\b0 pairs/);
  const panel = page.getByText("Take rows out by filters");
  await panel.click();
  await page.getByText("The dashboard does not answer: ").waitFor();
  await page.unroute("**/api/cleaning");
  await panel.click();
  await panel.click();
  await page.getByText("Rows of").waitFor();
});

test("rows that an earlier stream still tells are not added to curves that were read after them", {
  skip: skipsBrowser,
}, async () => {
  const rows = Array.from({ length: 2100 }, (_, i) => ({
    global_step: i + 1,
    epoch: i / 2100,
    loss: 1 / (i + 1),
  }));
  const dir = writeRun(root, "long", rows);
  const page = await (await routedContext(browser)).newPage();
  await page.addInitScript({
    content: `window.sources = [];
      window.EventSource = class extends EventSource {
        heard = {};
        constructor(address) { super(address); sources.push(this); }
        addEventListener(name, listen) { this.heard[name] = listen; super.addEventListener(name, listen); }
      };`,
  });
  await page.goto(dashboard.link());
  await page.getByRole("navigation").waitFor();
  const place = `#/runs/${idOf(realpathSync(dir))}`;
  await page.goto(new URL(place, dashboard.link()).href);
  const told = "sources.filter(({ heard }) => 'rows' in heard)";
  const streams = async (count: number): Promise<void> => {
    while ((await page.evaluate(`${told}.length`)) !== count) await drawn(page);
  };
  await streams(1);
  appendFileSync(join(dir, "metrics.jsonl"), '{"global_step": 2101, "epoch": 1, "loss": 0.5}\n');
  // thinned curves are read again where they are to be smoother
  await page.evaluate(`location.hash = "${place}?smooth=0.5"`);
  await streams(2);
  const late = { rows: [{ step: 2102, epoch: 1, tokens: 0, seconds: 0, values: { loss: "NaN" } }] };
  const event = JSON.stringify({ lastEventId: "", data: JSON.stringify(late) });
  await page.evaluate(`${told}[0].heard.rows(${event})`);
  await drawn(page);
  assert.doesNotMatch(await page.locator("main").innerText(), /NaN or infinite/);
  await page.evaluate(`${told}[1].heard.rows(${event})`);
  await page.getByText("1 value is NaN or infinite").first().waitFor();
});

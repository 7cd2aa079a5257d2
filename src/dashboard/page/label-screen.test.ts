/** Presses on the Label screen, in a real browser: each is for a pair that was read, and is the vote of one person on one workbench. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Browser, Page } from "playwright-core";
import {
  complaintsOf,
  drawn,
  routedContext,
  skipsBrowser,
  startBrowser,
} from "../../../test/support/browser.ts";
import { serveDashboard } from "../../../test/support/dashboards.ts";
import type { Vote } from "../../workbench/label-events.ts";
import { makeWorkbench } from "../../workbench/workbench-dir.ts";

interface Screen {
  page: Page;
  /** The address that logs the owner in. */
  link: () => string;
  /** Waits until so many are judged. */
  judged: (count: number) => Promise<void>;
  /** Bodies of the votes that the page has sent. */
  sent: { key: string; showing: string }[];
  /** What the store has of a person. */
  votesOf: (person: string) => Vote[];
}

/** Calls `body` with the Label screen of a workbench of 40 pairs, the owner before it. */
async function onLabelScreen(body: (screen: Screen) => Promise<void>): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), "preftune-label-"));
  using store = makeWorkbench(join(root, "workbench"));
  store.add(
    Array.from({ length: 40 }, (_, i) => ({
      ...{ prompt: `Question ${i}?`, answers: [`First ${i}.`, `Second ${i}.`] as const },
      ...{ models: [null, null] as const, votes: [], extra: {} },
    })),
  );
  const { dashboard, faults } = await serveDashboard(root);
  const browser = await startBrowser();
  try {
    const page = await (await routedContext(browser)).newPage();
    const complaints = complaintsOf(page);
    const sent: Screen["sent"] = [];
    page.on("request", (request) => {
      if (request.url().endsWith("/api/label/vote")) sent.push(request.postDataJSON());
    });
    await openAs(page, dashboard.link());
    const judged = (count: number) => page.getByText(`${count} of 40 judged`).waitFor();
    await judged(0);
    const votesOf = (wanted: string) =>
      [...store.state().votes.values()].filter(({ person }) => person === wanted);
    await body({ page, link: () => dashboard.link(), judged, sent, votesOf });
    // the status of a refusal that a test made is on the console
    assert.deepEqual(
      complaints.filter((text) => !/status of 422|ERR_FAILED/.test(text)),
      [],
    );
    assert.deepEqual(faults, []);
  } catch (error) {
    // a wait in vain says what it waits for, not what came instead
    console.log(await stateOf(browser));
    throw error;
  } finally {
    await browser.close();
    await dashboard.close();
    rmSync(root, { recursive: true, force: true });
  }
}

/** What the browser's pages show, and what they keep of votes, as text. */
async function stateOf(browser: Browser): Promise<string> {
  const pages = browser.contexts().flatMap((context) => context.pages());
  const texts = pages.map(async (page) => {
    const kept = await page.evaluate(() => JSON.stringify(localStorage));
    return `${page.url()} keeps ${kept} and shows\n${await page.locator("body").innerText()}`;
  });
  return (await Promise.allSettled(texts)).map((text) => JSON.stringify(text)).join("\n");
}

/** Logs in by `link` where the page is open, or not yet, and opens the screen. */
async function openAs(page: Page, link: string): Promise<void> {
  await page.goto(link);
  await page.waitForFunction(() => location.hash === "");
  await page.getByRole("navigation").waitFor();
  await page.goto(new URL("#/label", link).href);
  await page.getByRole("region", { name: "Prompt" }).waitFor();
}

test("a double click and a held key judge one pair, and a time of days is taken", {
  skip: skipsBrowser,
}, async () => {
  await onLabelScreen(async ({ page, judged, sent, votesOf }) => {
    await page.getByRole("button", { name: "Left better" }).dblclick();
    await judged(1);
    await page.keyboard.down("2");
    // playwright repeats a key that is down
    for (let i = 0; i < 4; i++) await page.keyboard.down("2");
    await page.keyboard.up("2");
    await judged(2);
    await drawn(page);
    assert.equal(sent.length, 2);
    // a held key takes no second one back, and two clicks apart are two
    await page.keyboard.down("u");
    await page.keyboard.down("u");
    await page.keyboard.up("u");
    await judged(1);
    await page.getByRole("button", { name: "Equal" }).click();
    await judged(2);
    await page.evaluate(() => {
      const now = performance.now.bind(performance);
      performance.now = () => now() + 3 * 86_400_000;
    });
    await page.keyboard.press("3");
    await judged(3);
    assert.deepEqual(
      votesOf("owner")
        .map(({ verdict, ms }) => [verdict, ms === 86_400_000])
        .slice(1),
      [
        ["tie", false],
        ["tie", true],
      ],
    );
  });
});

test("a refusal is said until the next press, which sends another vote; a pair judged in another tab is said", {
  skip: skipsBrowser,
}, async () => {
  await onLabelScreen(async ({ page, judged, sent }) => {
    const refusal = page.getByText("A judgment was not taken: Not yours.");
    await page.route("**/api/label/vote", (route) =>
      route.fulfill({ status: 422, contentType: "application/json", body: '{"error":"Not yours."}' }),
    );
    // the last pair has none after it
    await page.route("**/api/label/next", async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, json: { ...(await response.json()), ahead: null } });
    });
    // a press is one as soon as the pair after the refusal of the one before is there
    const refused = async (key: string): Promise<void> => {
      const next = page.waitForResponse("**/api/label/next");
      await page.keyboard.press(key);
      await (await next).finished();
      await refusal.waitFor();
      await drawn(page);
      assert.ok(await refusal.isVisible());
    };
    await refused("1");
    // the one after it is shown again, and so is the pair that was refused
    await page.reload();
    await page.getByRole("region", { name: "Prompt" }).waitFor();
    await refused("1");
    await refused("2");
    assert.equal(sent.length, 3);
    assert.equal(new Set(sent.map(({ showing }) => showing)).size, 1);
    assert.equal(new Set(sent.map(({ key }) => key)).size, 3);
    await page.unrouteAll();
    await page.keyboard.press("3");
    await judged(1);
    assert.ok(!(await refusal.isVisible()));
    // two tabs with one pair
    const other = await page.context().newPage();
    await other.goto(page.url());
    await other.getByText("1 of 40 judged").waitFor();
    await page.keyboard.press("4");
    await judged(2);
    // what one tab has let go another may keep for a moment, and would send in place of its own vote
    await other.waitForFunction(() => localStorage.length === 0);
    await other.keyboard.press("5");
    const elsewhere = other.getByText("was judged in another tab");
    await elsewhere.waitFor();
    await other.getByText("2 of 40 judged").waitFor();
    await other.keyboard.press("5");
    await other.getByText("3 of 40 judged").waitFor();
    assert.ok(!(await elsewhere.isVisible()));
  });
});

test("what is being written is kept or cancelled before anything else; a note that was kept is there again", {
  skip: skipsBrowser,
}, async () => {
  await onLabelScreen(async ({ page, judged, sent }) => {
    const field = page.getByLabel("Note on this pair");
    // keys straight after the one that opens the box are written, not taken as Flag, Rendered, Differences
    await page.evaluate(() => {
      for (const key of ["n", "f"])
        document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    });
    await page.keyboard.type("rod");
    assert.equal(await field.inputValue(), "rod");
    await field.fill("worth a look");
    for (const name of ["Left much better", "Edit left", "Skip s", "Undo"])
      await page.getByRole("button", { name }).click();
    // the keys, once the focus has left the field
    await page.getByRole("region", { name: "Left answer" }).click();
    await page.keyboard.press("3");
    await page.getByText("Finish or cancel first").waitFor();
    assert.equal(await field.inputValue(), "worth a look");
    assert.equal(sent.length, 0);
    await page.getByRole("button", { name: "Keep the note" }).click();
    await field.waitFor({ state: "detached" });
    assert.equal(await page.getByText("Finish or cancel first").count(), 0);
    await page.keyboard.press("n");
    assert.equal(await field.inputValue(), "worth a look");
    await page.keyboard.press("Escape");
    // a look at the end of a long answer and back is no judgment
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("ArrowUp");
    await drawn(page);
    assert.equal(sent.length, 0);
    await page.keyboard.press("3");
    await judged(1);
  });
});

test("presses on Undo before the first is answered take one judgment back", {
  skip: skipsBrowser,
}, async () => {
  await onLabelScreen(async ({ page, judged, votesOf }) => {
    for (let i = 1; i <= 3; i++) {
      await page.keyboard.press("3");
      await judged(i);
    }
    const open = Promise.withResolvers<void>();
    await page.route("**/api/label/undo", async (route) => {
      await open.promise;
      await route.continue();
    });
    await page.keyboard.press("u");
    await page.keyboard.press("u");
    open.resolve();
    await judged(2);
    await drawn(page);
    assert.equal(votesOf("owner").length, 2);
    await page.keyboard.press("u");
    await judged(1);
  });
});

test("a vote that did not get through waits for its person", { skip: skipsBrowser }, async () => {
  await onLabelScreen(async ({ page, link, judged, sent, votesOf }) => {
    await page.goto(new URL("#/people", link()).href);
    const make = async (name: string, role: string): Promise<string> => {
      await page.getByLabel("Name").fill(name);
      await page.getByLabel("who is to").selectOption(role);
      await page.getByRole("button", { name: "Make a link" }).click();
      await page
        .getByText(role === "look" ? `shows runs and data for ${name}` : `opens labelling for ${name}`)
        .waitFor();
      return (await page.locator("p code", { hasText: "#token=" }).textContent()) ?? "";
    };
    const [ann, bob, again, eve] = [
      await make("ann", "label"),
      await make("bob", "label"),
      await make("ann", "label"),
      await make("eve", "look"),
    ];
    await openAs(page, ann);
    await page.route("**/api/label/vote", (route) => route.abort());
    await page.keyboard.press("1");
    await page.getByText("The judgment is kept in this browser").waitFor();
    await page.unrouteAll();
    await openAs(page, bob);
    await judged(0);
    assert.equal(sent.length, 1);
    // nor is one of another workbench sent
    await page.evaluate(() => {
      const [name = ""] = Object.keys(localStorage);
      localStorage.setItem(name.replace(/vote \S+/, "vote other"), localStorage.getItem(name) ?? "");
    });
    await openAs(page, again);
    await judged(1);
    assert.deepEqual([sent.length, votesOf("ann").length, votesOf("bob").length], [2, 1, 0]);
    assert.equal(await page.evaluate(() => localStorage.length), 1);
    // a link to look shows runs, and no labelling
    await page.goto(eve);
    await page.getByRole("link", { name: "Runs", exact: true }).waitFor();
    assert.equal(await page.getByRole("link", { name: "Label", exact: true }).count(), 0);
  });
});

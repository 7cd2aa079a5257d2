/** The workbench's pages in a real browser: judged by keys alone, on a desktop and a phone; what answers hold does nothing. */
import assert from "node:assert/strict";
import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Page } from "playwright-core";
import {
  assertInOrder,
  looks,
  outOfReach,
  skipsBrowser,
  startBrowser,
  watchedPage,
} from "../../../test/support/browser.ts";
import { amount } from "../../../test/support/campaign.ts";
import { serveDashboard } from "../../../test/support/dashboards.ts";
import { writeRound } from "../../../test/support/rounds.ts";
import type { Comparison } from "../../workbench/comparison.ts";
import { keepVerdicts } from "../../workbench/judges.ts";
import { makeWorkbench, openWorkbench } from "../../workbench/workbench-dir.ts";
import { idOf } from "../run-store.ts";

const hostile = `<img src=x onerror="document.title='hit'"><script>document.title='hit'</script> ![i](http://evil.example/i.png)`;

const comparisons: Comparison[] = Array.from({ length: 8 }, (_, i) => ({
  prompt: `Question ${i}? ${hostile}`,
  answers: [`**First** answer ${i}. ${hostile}`, `# Second\n\n- answer ${i}\n- ${hostile}`],
  models: ["voice-alpha", "voice-omega"],
  votes: [
    { person: "bob", choice: "a" },
    { person: "cleo", choice: i % 2 === 0 ? "a" : "b" },
  ],
  extra: {},
}));

/** In the page: ms from each key to the frame that has another prompt. */
function watchPace(): void {
  const promptOf = (): string => document.querySelector('[aria-label="Prompt"]')?.textContent ?? "";
  const paces: number[] = [];
  let [pressed, before] = [0, ""];
  addEventListener("keydown", ({ timeStamp }) => ([pressed, before] = [timeStamp, promptOf()]), true);
  new MutationObserver(() => {
    if (pressed === 0 || promptOf() === before) return;
    const began = pressed;
    pressed = 0;
    requestAnimationFrame(() => paces.push(performance.now() - began));
  }).observe(document.body, { childList: true, subtree: true, characterData: true });
  Object.assign(globalThis, { paces });
}

/**
 * A key whose vote does not get through: the next pair is shown without waiting for it, then its own is there again with the reason,
 * and once the page is loaded again the vote has been sent.
 */
async function whileVotesAreLost(page: Page, key: string): Promise<void> {
  const prompt = page.getByRole("region", { name: "Prompt" });
  const before = (await prompt.textContent()) ?? "";
  const lose = Promise.withResolvers<void>();
  await page.route("**/api/label/vote", async (route) => {
    await lose.promise;
    await route.abort("aborted");
  });
  await page.keyboard.press(key);
  await page.waitForFunction(
    (text) => document.querySelector('[aria-label="Prompt"]')?.textContent !== text,
    before,
  );
  lose.resolve();
  await page.getByText("The judgment is kept in this browser").waitFor();
  assert.equal(await prompt.textContent(), before);
  await page.unroute("**/api/label/vote");
  await page.reload();
}

test("label by keys, see data, people and a version; nothing an answer holds is executed or loaded", {
  skip: skipsBrowser,
}, async (t) => {
  const root = mkdtempSync(join(tmpdir(), "preftune-bench-"));
  using made = makeWorkbench(join(root, "workbench"));
  made.add(comparisons);
  const orders = ["a", "b"] as const;
  keepVerdicts(
    made,
    "small",
    made.order.map((item) => ({ item, orders })),
  );
  const round = realpathSync(writeRound(root, "round-1"));
  const { dashboard, faults } = await serveDashboard(root);
  const browser = await startBrowser();
  try {
    const { page, complaints } = await watchedPage(browser);
    const link = dashboard.link();
    const judged = (count: number) => page.getByText(`${count} of 8 judged`).waitFor();
    await page.goto(link);
    await page.goto(new URL("#/label", link).href);
    await judged(0);
    await page.keyboard.press("o");
    await page.getByRole("button", { name: "Unsure first", pressed: true }).waitFor();
    await page.evaluate(watchPace);
    // five verdicts by five keys, an arrow, a tie taken back, rendered and different
    for (const [i, key] of ["1", "2", "4", "5", "ArrowLeft"].entries()) {
      await page.keyboard.press(key);
      await judged(i + 1);
    }
    await page.waitForFunction(() => (globalThis as unknown as { paces: number[] }).paces.length === 5);
    const paces = await page.evaluate(() => (globalThis as unknown as { paces: number[] }).paces);
    const pace = paces.toSorted((a, b) => a - b)[Math.floor(paces.length / 2)] ?? Number.NaN;
    t.diagnostic(`next pair ${pace.toFixed(0)} ms after the key`);
    assert.ok(pace < amount(20_000, 1000), `the next pair came ${pace} ms after the key`);
    await whileVotesAreLost(page, "3");
    await judged(6);
    await page.keyboard.press("u");
    await judged(5);
    await page.keyboard.press("r");
    await page.keyboard.press("d");
    await page.keyboard.press("n");
    await page.locator("#writing:focus").waitFor();
    await page.keyboard.type("worth a look");
    await page.getByRole("button", { name: "Keep the note" }).click();
    // a key is refused as long as the note is on its way
    await page.locator("#writing").waitFor({ state: "detached" });
    await page.keyboard.press("e");
    await page.locator("#writing").fill("A better answer.");
    await page.keyboard.press("Control+Enter");
    await judged(6);
    for (const { name, width, colorScheme } of looks) {
      await page.setViewportSize({ width, height: 800 });
      await page.emulateMedia({ colorScheme });
      for (const [place, wanted] of [
        ["#/label", "Left"],
        ["#/data", "Versions"],
        ["#/people", "Krippendorff's alpha"],
        ["#/judge", "pairs, each judged in both orders"],
        ["#/arena", "Ask two contestants"],
        ["#/rounds", "stopped before comparison"],
        [`#/rounds/${idOf(round)}?show=answers`, "reward 7"],
      ] as const) {
        await page.goto(new URL(place, link).href);
        await page.getByText(wanted).first().waitFor();
        await assertInOrder(page, `${place}, ${name}`);
        if (name === looks.at(-1)?.name) assert.deepEqual(await outOfReach(page), [], `${place}: by Tab`);
      }
    }
    // make a version and open it, and look at a pair that was judged
    await page.setViewportSize({ width: 1400, height: 900 });
    await page.goto(new URL("#/data", link).href);
    await page.getByText("Make a version of what was judged").click();
    await page.getByRole("button", { name: "Make it" }).click();
    const version = page.locator("tbody th a").first();
    await version.click();
    await page.getByText("rows, made by export").waitFor();
    // take rows out of it by keys and buttons: counted, made, and a filter taken back
    await page.getByText("Take rows out of it").click();
    await page.getByLabel("Add a filter").selectOption("cut_off");
    await page.getByLabel("Add a filter").selectOption("length_gap");
    await page.getByRole("button", { name: "Count" }).click();
    const counts = page.getByText(/\d rows read, \d kept/);
    await counts.waitFor();
    // a version that is made meanwhile is offered, and what was counted is not said of it
    await page.getByText("Make a version of what was judged").click();
    await page.getByLabel("Rows", { exact: true }).selectOption("kto");
    await page.getByRole("button", { name: "Make it" }).click();
    await page.waitForFunction(() => document.querySelectorAll("#clean-source option").length === 2);
    assert.equal(await counts.count(), 1);
    const other = await page.locator("#clean-source option:not(:checked)").getAttribute("value");
    await page.getByLabel("Rows of").selectOption(other);
    await counts.waitFor({ state: "detached" });
    for (const { name, width, colorScheme } of looks) {
      await page.setViewportSize({ width, height: 900 });
      await page.emulateMedia({ colorScheme });
      await assertInOrder(page, `filters, ${name}`);
    }
    assert.equal(await page.title(), "preftune");
    assert.deepEqual(complaints, []);
    assert.deepEqual(faults, []);
    using store = openWorkbench(join(root, "workbench"));
    const own = [...store.state().votes.values()].filter(({ person }) => person === "owner");
    assert.equal(own.length, 6);
    assert.ok(own.every(({ ms }) => ms !== null));
    // two were drawn already when the order changed
    const orders = [...store.state().showings.values()].map(({ order }) => order);
    assert.deepEqual(orders.slice(0, 4), ["random", "random", "uncertain", "uncertain"]);
    assert.equal(own.at(-1)?.edit?.text, "A better answer.");
    assert.deepEqual([...store.state().notes.values()], [[{ person: "owner", text: "worth a look" }]]);
  } finally {
    await browser.close();
    await dashboard.close();
    rmSync(root, { recursive: true, force: true });
  }
});

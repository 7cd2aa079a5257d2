/** Names of any length, steps and values of any size: each screen fits its window, and axes can be read. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Page } from "playwright-core";
import {
  assertInOrder,
  drawn,
  picture,
  skipsBrowser,
  startBrowser,
  watchedPage,
} from "../../../test/support/browser.ts";
import { serveDashboard, writeRun } from "../../../test/support/dashboards.ts";
import { keepVerdicts } from "../../workbench/judges.ts";
import { makeWorkbench } from "../../workbench/workbench-dir.ts";
import { idOf } from "../run-store.ts";

const long = "long".repeat(30);

/** Late steps and small rates: the figures of a long run. */
const rows = Array.from({ length: 5 }, (_, i) => ({
  ...{ global_step: 12_340 + i, epoch: 1, loss: 1, num_tokens: 1, step_time: 1 },
  learning_rate: 2.5e-6 * (4 - i),
}));

function writeBench(root: string): void {
  using store = makeWorkbench(join(root, "workbench"));
  const tools = [{ type: "function", function: { name: "weather", description: "Of a city." } }];
  const pair = { prompt: "p", answers: ["a", "b"], models: [long, "m"], votes: [] } as const;
  store.add([{ ...pair, extra: { tools, chat_template_kwargs: { date: "1 May" } } }]);
  store.addPerson(`Ann ${long}`, "person");
  keepVerdicts(store, long, [{ item: store.order[0] ?? "", orders: ["a", "a"] }]);
  const contestant = `{ name: ${long}, url: "http://127.0.0.1:9/v1", model: m }`;
  writeFileSync(
    join(root, "workbench", "arena.yaml"),
    `contestants:\n  - ${contestant}\n  - ${contestant.replace("long", "other")}\n`,
  );
}

/** In the page: what is drawn on canvases, and where it begins. */
function watchTexts(): void {
  const texts: { text: string; left: number }[] = [];
  const draw = CanvasRenderingContext2D.prototype.fillText;
  CanvasRenderingContext2D.prototype.fillText = function (text, x, ...rest): void {
    texts.push({ text, left: this.textAlign === "right" ? x - this.measureText(text).width : x });
    draw.call(this, text, x, ...rest);
  };
  Object.assign(globalThis, { texts });
}

/** How far the widest picture reaches beyond its figure, px. */
const beyondFigure = `Math.max(...[...document.querySelectorAll(".live figure")].map((figure) => {
  const { right } = figure.getBoundingClientRect();
  return Math.max(...[...figure.querySelectorAll("canvas, .legend")].map((it) => it.getBoundingClientRect().right - right));
}))`;

/** In the page: the parts of a figure that begin above the end of the part before them. */
function overlaps(figure: Element): string[] {
  const parts = [...figure.children].map((part) => ({ part, box: part.getBoundingClientRect() }));
  return parts.flatMap(({ part, box }, i) =>
    i > 0 && box.top < (parts[i - 1]?.box.bottom ?? 0) - 1 ? [part.outerHTML.slice(0, 60)] : [],
  );
}

/** In the page: whether something lies over the lower edge of what has the focus. */
const isCovered = `(() => {
  const { left, width, bottom } = document.activeElement.getBoundingClientRect();
  return document.elementFromPoint(left + width / 2, Math.min(innerHeight, bottom) - 4) !== document.activeElement;
})()`;

/** A table that is refused: the forms that are read stand a line each. */
async function refusedTable(page: Page, link: string): Promise<void> {
  await open(page, link, "#/data", "h2");
  await page.getByText("Import pairs").click();
  await page.locator("textarea").fill("a\tb\n1\t2");
  await page.getByRole("button", { name: "Read the table" }).click();
  const lines = (await page.getByRole("alert").innerText()).split("\n");
  assert.ok(
    lines.some((line) => line.trim().startsWith("pairs: chosen and rejected")),
    lines.join("|"),
  );
}

async function open(page: Page, link: string, place: string, wanted: string): Promise<void> {
  await page.goto(new URL(place, link).href);
  await page.reload();
  const first = page.locator(wanted).first();
  if (wanted === ".live figure") await picture(first);
  else await first.waitFor();
  await drawn(page);
}

test("long names, late steps and small values, on a desktop and a phone", {
  skip: skipsBrowser,
}, async () => {
  const root = mkdtempSync(join(tmpdir(), "preftune-wide-"));
  const [one, other] = [idOf(writeRun(root, "short")), idOf(writeRun(root, long, rows))];
  writeBench(root);
  const { dashboard, faults } = await serveDashboard(root);
  const browser = await startBrowser();
  try {
    const { page, complaints } = await watchedPage(browser);
    await page.addInitScript(watchTexts);
    const link = dashboard.link();
    await page.goto(link);
    const screens = [
      ["#/runs", "table.runs"],
      [`#/compare?runs=${one},${other}`, ".live figure"],
      [`#/runs/${other}`, ".live figure"],
      ["#/judge", "dl"],
      ["#/people", "table"],
      ["#/arena", "textarea"],
    ] as const;
    for (const width of [1280, 400]) {
      await page.setViewportSize({ width, height: 900 });
      for (const [place, wanted] of screens) {
        await open(page, link, place, wanted);
        await assertInOrder(page, `${place} at ${width}`);
        if (wanted === ".live figure") assert.ok((await page.evaluate<number>(beyondFigure)) < 1, place);
        if (place !== "#/runs") continue;
        const { x = 0, width: wide = 0 } = (await page.locator(".small").last().boundingBox()) ?? {};
        assert.ok(x > 0 && x + wide < width, `the curves of the list are in view, not at ${x}`);
      }
    }
    await open(page, link, `#/runs/${other}`, ".live figure");
    const rate = page.locator(".live figure", { hasText: "Learning rate" }).first();
    await rate.scrollIntoViewIfNeeded();
    await rate.locator("canvas").waitFor();
    await drawn(page);
    const texts = await page.evaluate<{ text: string; left: number }[]>("texts");
    assert.deepEqual(
      texts.filter(({ left }) => left < 0),
      [],
    );
    for (const wanted of ["7.5e−6", "12341", "12343"])
      assert.ok(
        texts.some(({ text }) => text === wanted),
        `${wanted} among ${texts.map(({ text }) => text)}`,
      );
    await rate.getByRole("button", { name: "What is Learning rate?" }).click();
    await rate.getByRole("button", { name: "Numbers" }).click();
    await rate.locator("table").waitFor();
    await drawn(page);
    assert.deepEqual(await rate.evaluate(overlaps), [], "what is opened in a figure covers nothing of it");
    await open(page, link, "#/label", ".bench-prompt");
    await page.getByText("Tools and settings").click();
    await page.getByText("weather: Of a city.").waitFor();
    await page.getByText('chat_template_kwargs: {"date":"1 May"}').waitFor();
    await page.setViewportSize({ width: 1280, height: 420 });
    await page.keyboard.press("s");
    await page.locator("textarea:focus").waitFor();
    await drawn(page);
    assert.equal(await page.evaluate<boolean>(isCovered), false, "the buttons leave what is written in view");
    await refusedTable(page, link);
    assert.deepEqual(
      complaints.filter((text) => !text.includes("422")),
      [],
    );
    assert.deepEqual(faults, []);
  } finally {
    await browser.close();
    await dashboard.close();
    rmSync(root, { recursive: true, force: true });
  }
});

/** The system's Chromium for tests of pages; skipped with the reason where there is none. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import axe from "axe-core";
import { type Browser, type BrowserContext, chromium, type Locator, type Page } from "playwright-core";

const places = [
  process.env["PREFTUNE_CHROMIUM"] ?? "",
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
];

const path = places.find((place) => place !== "" && existsSync(place)) ?? null;

/** Why tests with a browser are skipped; false: they are not. */
export const skipsBrowser: string | false =
  path === null ? "no Chromium in /usr/bin; PREFTUNE_CHROMIUM names one" : false;

/** Longest wait for what a page is to show, in ms: a loaded machine takes its time. */
const patience = 120_000;

/** Starts the browser. */
export async function startBrowser(): Promise<Browser> {
  // as root, in containers, Chromium has no sandbox
  const args = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  const executable = path === null ? {} : { executablePath: path };
  const browser = await chromium.launch({ ...executable, args, timeout: patience });
  browser.on("context", (context) => context.setDefaultTimeout(patience));
  return browser;
}

/** Sizes and colours that every page is looked at in. */
export const looks: readonly { name: string; width: number; colorScheme: "light" | "dark" }[] = [
  { name: "desktop, light", width: 1400, colorScheme: "light" },
  { name: "desktop, dark", width: 1400, colorScheme: "dark" },
  { name: "phone, light", width: 390, colorScheme: "light" },
  { name: "phone, dark", width: 390, colorScheme: "dark" },
];

/** A new page, with all that it complains of, which remembers which elements take clicks, for {@link outOfReach}. */
export async function watchedPage(browser: Browser): Promise<{ page: Page; complaints: string[] }> {
  const context = await routedContext(browser);
  await rememberClicks(context);
  const page = await context.newPage();
  return { page, complaints: complaintsOf(page) };
}

/**
 * A context for pages whose requests a test may lose or hold with `page.route`.
 *
 * Chromium hands requests over from the next load of a page on: of one that is loaded already a request may pass by, on a busy
 * machine where a key is pressed right after `page.route`. So all are handed over from the beginning.
 */
export async function routedContext(browser: Browser): Promise<BrowserContext> {
  const context = await browser.newContext();
  await context.route("**/handed-over-from-the-beginning", (route) => route.continue());
  return context;
}

async function rememberClicks(context: BrowserContext): Promise<void> {
  const content = `
    const add = EventTarget.prototype.addEventListener;
    EventTarget.prototype.addEventListener = function (...args) {
      if (args[0] === "click" && this instanceof Element) this.setAttribute("data-clicks", "");
      add.apply(this, args);
    };`;
  await context.addInitScript({ content });
}

/** Until all that was answered is drawn. */
export async function drawn(page: Page): Promise<void> {
  for (let i = 0; i < 3; i++) await page.evaluate("new Promise((resolve) => requestAnimationFrame(resolve))");
}

/** Brings a chart into view, without which its picture is never made, and waits for the picture. */
export async function picture(figure: Locator): Promise<void> {
  await figure.locator(".plot").scrollIntoViewIfNeeded();
  await figure.locator("canvas").waitFor();
}

/** What can be clicked and was not reached yet. A picture's dots are lines of the table below it, and charts have buttons for what a drag does. */
const notReached = `
  [...document.querySelectorAll(
    ":is(a[href], button, input, select, textarea, summary, [data-clicks]:not(.charts, .u-wrap)):not(:disabled)",
  )]
    .filter((element) => element.checkVisibility() && !element.hasAttribute("data-reached"))
    .map((element) => element.outerHTML.slice(0, 120))`;

/** What can be clicked on the page and is not reached by Tab, as its beginning. */
export async function outOfReach(page: Page): Promise<string[]> {
  const left = async (): Promise<string[]> => await page.evaluate<string[]>(notReached);
  const { length } = await left();
  for (let i = 0; i < length + 40 && (i % 10 !== 0 || (await left()).length > 0); i++) {
    await page.keyboard.press("Tab");
    await page.evaluate('document.activeElement?.setAttribute("data-reached", "")');
  }
  return await left();
}

/** All that a page complains of from now on: console messages, errors, reports of its content policy. */
export function complaintsOf(page: Page): string[] {
  const complaints: string[] = [];
  page.on("console", (message) => complaints.push(`${message.type()}: ${message.text()}`));
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("requestfailed", (request) => {
    const why = request.failure()?.errorText ?? "";
    // a stream that the page closed itself
    if (!/ERR_ABORTED/.test(why)) complaints.push(`${request.url()}: ${why}`);
  });
  return complaints;
}

/** Nothing on the page scrolls sideways or keeps somebody out. @param where - for messages */
export async function assertInOrder(page: Page, where: string): Promise<void> {
  const overflow = await page.evaluate("document.documentElement.scrollWidth - innerWidth");
  assert.equal(overflow, 0, `${where}: scrolls sideways`);
  assert.deepEqual(await barriers(page), [], where);
}

/** What axe-core finds serious or worse. */
export async function barriers(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(
    async () => await (globalThis as unknown as { axe: typeof axe }).axe.run(),
  );
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(
      ({ id, nodes }) =>
        `${id}: ${nodes
          .map(({ html }) => html)
          .join(" ")
          .slice(0, 300)}`,
    );
}

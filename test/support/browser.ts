/** The system's Chromium for tests of pages; skipped with the reason where there is none. */
import { existsSync } from "node:fs";
import axe from "axe-core";
import { type Browser, chromium, type Page } from "playwright-core";

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

/** Starts the browser. */
export async function startBrowser(): Promise<Browser> {
  // as root, in containers, Chromium has no sandbox
  const args = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  return await chromium.launch({ ...(path === null ? {} : { executablePath: path }), args });
}

/** Sizes and colours that every page is looked at in. */
export const looks: readonly { name: string; width: number; colorScheme: "light" | "dark" }[] = [
  { name: "desktop, light", width: 1400, colorScheme: "light" },
  { name: "phone, dark", width: 390, colorScheme: "dark" },
];

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

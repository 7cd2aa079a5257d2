/** The routes of the page's files. */
import type { DashboardContext, Route } from "./route.ts";

const types = { html: "text/html", js: "text/javascript", css: "text/css" } as const;

/** The routes of the files: anybody may have them, they hold nothing of a run. */
export function pageRoutes({ page }: DashboardContext): Route[] {
  return Object.entries(page).map(([path, text]) => {
    const type = types[(path.split(".")[1] ?? "html") as keyof typeof types];
    return {
      ...{ method: "GET", path, roles: "anyone" },
      answer: (c) => c.body(text, 200, { "Content-Type": `${type}; charset=utf-8` }),
    };
  });
}

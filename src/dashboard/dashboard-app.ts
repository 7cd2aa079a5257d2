/** The application: what every request passes on its way to a route (host, origin, login, role, size), and the answers' headers. */
import { Hono, type MiddlewareHandler } from "hono";
import { bodyLimit } from "hono/body-limit";
import { ApiError } from "../serve/api-error.ts";
import type { Callers } from "../serve/callers.ts";
import { allowedHostsOnly } from "../serve/guard.ts";
import { PageError } from "./page-error.ts";
import { type Ctx, type DashboardContext, defaultBodyBytes, type Env, type Route } from "./route.ts";
import { routesOf } from "./routes.ts";
import { secretOf } from "./session-routes.ts";

/** What the application needs. */
export interface AppOptions {
  context: DashboardContext;
  /** Names that the Host header may have besides those of this machine. */
  allowedHosts: readonly string[];
  callers: Callers;
  /** Called with internal errors. */
  onFault: (error: unknown) => void;
}

/** What a page of the dashboard may load and do: its own scripts, styles and data, and nothing else. */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self' data:",
  "frame-ancestors 'none'",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");

/** The application; its `fetch` answers a request. */
export function createDashboardApp(options: AppOptions): Hono<Env> {
  const { context } = options;
  const app = new Hono<Env>();
  const routes = routesOf(context);
  app.use("*", headers);
  app.use("*", allowedHostsOnly(options.allowedHosts));
  app.use("/api/*", ownPagesOnly);
  app.use("*", loggedIn(context, options.callers));
  for (const route of routes) {
    app.on(route.method, route.path, mayAsk(route, context), limited(route), route.answer);
  }
  for (const path of new Set(routes.map((route) => route.path))) {
    const methods = routes.filter((route) => route.path === path).map(({ method }) => method);
    app.all(path, (c) => {
      c.header("Allow", methods.join(", "));
      throw new PageError(405, `${path} takes ${methods.join(" and ")} only.`);
    });
  }
  app.notFound((c) => failure(c, 404, "There is no such page."));
  app.onError((error, c) => {
    if (error instanceof ApiError || error instanceof PageError)
      return failure(c, error.status, error.message);
    options.onFault(error);
    return failure(c, 500, "Internal error of the dashboard. Its terminal says more.");
  });
  return app;
}

function failure(c: Ctx, status: PageError["status"] | ApiError["status"], message: string): Response {
  return c.json({ error: message }, status);
}

const headers: MiddlewareHandler<Env> = async (c, next) => {
  c.header("Content-Security-Policy", policy);
  c.header("X-Content-Type-Options", "nosniff");
  c.header("Referrer-Policy", "no-referrer");
  c.header("Cross-Origin-Resource-Policy", "same-origin");
  c.header("Cross-Origin-Opener-Policy", "same-origin");
  c.header("Cache-Control", "no-store");
  await next();
};

/**
 * Refuses what a page of another site asks, by the origin that browsers send and by what they say of the page it is for. Programs
 * that are no browser send neither.
 */
const ownPagesOnly: MiddlewareHandler<Env> = async (c, next) => {
  const origin = c.req.header("origin");
  const site = c.req.header("sec-fetch-site") ?? "same-origin";
  // an address that was typed is no page's; a path below /api is nothing to look at, and no harm
  const isOwnSite = site === "same-origin" || (site === "none" && c.req.method === "GET");
  const isOwnOrigin =
    origin === undefined || (URL.canParse(origin) && new URL(origin).host === c.req.header("host"));
  if (!isOwnSite || !isOwnOrigin) {
    throw new PageError(403, "Pages of other sites may not ask: open the dashboard by its own address.");
  }
  await next();
};

/** Finds out who asks. Who has logged in is no stranger any more to the server's table of connections. */
function loggedIn({ sessions }: DashboardContext, callers: Callers): MiddlewareHandler<Env> {
  return async (c, next) => {
    const session = sessions.of(secretOf(c));
    c.set("session", session);
    const socket = c.env?.incoming?.socket;
    if (session !== null && socket !== undefined && !callers.know(socket)) {
      c.header("Connection", "close");
      throw new PageError(409, `${callers.known} connections are open, and no more may be: ask again later.`);
    }
    await next();
  };
}

/** Refuses who may not ask for a route, and all that would change something where nothing can be. */
function mayAsk(
  { roles, method, changesNothing }: Route,
  { readOnly }: DashboardContext,
): MiddlewareHandler<Env> {
  return async (c, next) => {
    if (roles !== "anyone") {
      const session = c.get("session");
      if (session === null) {
        throw new PageError(
          401,
          "Nobody is logged in: open the address that the dashboard printed. Press Enter where it runs for a new one.",
        );
      }
      if (!roles.includes(session.role)) {
        throw new PageError(
          403,
          `This is for ${roles.join(" and ")}, and you are logged in as ${session.role}.`,
        );
      }
    }
    if (readOnly !== null && method !== "GET" && changesNothing !== true) throw new PageError(409, readOnly);
    await next();
  };
}

function limited({ maxBodyBytes = defaultBodyBytes }: Route): MiddlewareHandler<Env> {
  return bodyLimit({
    maxSize: maxBodyBytes,
    onError: () => {
      throw new PageError(413, `Expected a body of at most ${maxBodyBytes} bytes.`);
    },
  });
}

/** The routes of `preftune serve`, and what every request passes on its way to one: record, host, key, size. */
import { randomUUID } from "node:crypto";
import { Hono, type MiddlewareHandler } from "hono";
import { bodyLimit } from "hono/body-limit";
import { cors } from "hono/cors";
import { ApiError, clientLeft } from "./api-error.ts";
import type { Callers } from "./callers.ts";
import { chatCompletions, completions } from "./completions.ts";
import { allowedHostsOnly, allowedPagesOnly, isOpen, keyRequired, openPath } from "./guard.ts";
import { BodyRoom, refuseQuery, roomForBody } from "./request-body.ts";
import type { RequestRecord } from "./request-record.ts";
import { type Ctx, type Env, type ServeContext, type ServedModel, unknownModel } from "./serve-context.ts";

/** What the application needs besides what its routes do. */
export interface AppOptions extends ServeContext {
  key: string;
  /** Whether only names of this machine are let through in the Host header. */
  loopbackOnly: boolean;
  /** Origins of web pages that may ask; none: no CORS headers. */
  origins: readonly string[];
  maxBodyBytes: number;
  callers: Callers;
  /** Called for every request when its reply has ended. */
  onRequest: (record: RequestRecord) => void;
  /** Called with internal errors. */
  onFault: (error: unknown) => void;
}

/** One route. */
interface Route {
  path: string;
  method: "GET" | "POST";
  handler: (c: Ctx) => Response | Promise<Response>;
}

/** A name may have slashes: `owner/name`. */
const modelPath = "/v1/models/:model{.+}";

/** A route's path as people write it. */
const shownPath = (path: string): string => path.replace(/:model\{.+\}$/, "NAME");

/** Bodies of the largest size that may be held at once. */
const heldBodies = 16;

/** The application; its `fetch` answers a request. */
export function createApp(options: AppOptions): Hono<Env> {
  const app = new Hono<Env>();
  const routes = routesOf(options);
  app.use("*", recorded(options, routes));
  if (options.loopbackOnly) app.use("*", allowedHostsOnly());
  app.use("*", allowedPagesOnly(options.origins));
  if (options.origins.length > 0) {
    // headers that are asked for are allowed: OpenAI's client sends several that say what it is; the key decides
    const exposeHeaders = ["X-Request-Id", "Retry-After", "X-Preftune-Warning"];
    app.use("*", cors({ origin: [...options.origins], exposeHeaders, maxAge: 600 }));
  }
  app.use("*", keyRequired(options.key));
  app.use("*", knownCaller(options.callers));
  app.use("*", roomForBody(new BodyRoom(heldBodies * options.maxBodyBytes), options.maxBodyBytes));
  app.use("*", limited(options.maxBodyBytes));
  for (const { path, method, handler } of routes) {
    app.on(method, path, handler);
    app.all(path, (c) => {
      c.header("Allow", method === "GET" ? "GET, HEAD" : method);
      throw new ApiError("wrongMethod", `${shownPath(path)} takes ${method} only.`);
    });
  }
  const paths = routes.map(({ path }) => shownPath(path)).join(", ");
  app.notFound((c) =>
    errorResponse(c, new ApiError("unknownRoute", `There is no such path; there are ${paths}.`)),
  );
  app.onError((error, c) => {
    if (error instanceof ApiError) return errorResponse(c, error);
    if (c.req.raw.signal.aborted) return errorResponse(c, clientLeft());
    options.onFault(error);
    return errorResponse(c, new ApiError("internal", "Internal server error. The server's log says more."));
  });
  return app;
}

function routesOf(options: AppOptions): Route[] {
  const models = modelObjects(options.model);
  const asText = { "Content-Type": "text/plain; version=0.0.4; charset=utf-8" };
  return [
    { path: openPath, method: "GET", handler: (c) => healthResponse(c, options) },
    { path: "/metrics", method: "GET", handler: (c) => c.text(options.metrics.text(), 200, asText) },
    {
      path: "/v1/models",
      method: "GET",
      handler: (c) => {
        refuseQuery(c, "Expected a list of all models", "Leave it out.");
        return c.json({ object: "list", data: [...models.values()] });
      },
    },
    {
      path: modelPath,
      method: "GET",
      handler: (c) => {
        const found = models.get(c.req.param("model") ?? "");
        if (found === undefined) throw unknownModel(options.model);
        refuseQuery(c, "Expected the name of a model in the path alone", "Leave it out.");
        return c.json(found);
      },
    },
    { path: "/v1/chat/completions", method: "POST", handler: (c) => chatCompletions(c, options) },
    { path: "/v1/completions", method: "POST", handler: (c) => completions(c, options) },
  ];
}

function modelObjects({ name, adapters }: ServedModel): Map<string, object> {
  const created = Math.floor(Date.now() / 1000);
  const objectOf = (id: string) => ({ id, object: "model", created, owned_by: "preftune" });
  return new Map([name, ...adapters].map((id) => [id, objectOf(id)]));
}

/** Begins the record of a request, and hands it on when its reply has ended: for streams, that is later. */
function recorded({ onRequest, metrics }: AppOptions, routes: readonly Route[]): MiddlewareHandler<Env> {
  return async (c, next) => {
    const arrivedAt = performance.now();
    const record: RequestRecord = {
      id: randomUUID(),
      route: routes.find(({ path }) => matches(path, c.req.path))?.path ?? "other",
      method: c.req.method,
      status: 0,
      durationMs: 0,
      model: null,
      stream: false,
      counts: null,
      error: null,
      warning: null,
    };
    const finish = () => {
      record.durationMs = performance.now() - arrivedAt;
      metrics.finished(record);
      onRequest(record);
    };
    c.set("record", record);
    c.set("arrivedAt", arrivedAt);
    c.set("finish", finish);
    c.set("endsLater", false);
    c.header("X-Request-Id", record.id);
    c.header("X-Content-Type-Options", "nosniff");
    c.header("Cache-Control", "no-store");
    await next();
    record.status = c.res.status;
    if (!c.get("endsLater")) finish();
  };
}

/** Whether `path` is that of a route; one with a parameter takes whatever follows. */
function matches(route: string, path: string): boolean {
  const at = route.indexOf(":");
  return at < 0 ? path === route : path.startsWith(route.slice(0, at)) && path.length > at;
}

/** Who has brought the key is no stranger any more. */
function knownCaller(callers: Callers): MiddlewareHandler<Env> {
  return async (c, next) => {
    const socket = c.env?.incoming?.socket;
    if (socket !== undefined && !isOpen(c.req) && !callers.know(socket)) {
      c.header("Connection", "close");
      throw new ApiError(
        "queueFull",
        `${callers.known} connections are open, and no more may be: ask again later.`,
        {
          retryAfter: 1,
        },
      );
    }
    await next();
  };
}

function limited(maxBodyBytes: number): MiddlewareHandler<Env> {
  return bodyLimit({
    maxSize: maxBodyBytes,
    onError: () => {
      throw new ApiError(
        "tooLarge",
        `Expected a body of at most ${maxBodyBytes} bytes. Send less, or raise --max-body-bytes.`,
      );
    },
  });
}

function healthResponse(c: Ctx, { engine, admission }: ServeContext): Response {
  const words = {
    ready: "ok",
    starting: "starting",
    waiting: "restarting",
    failed: "failed",
    stopped: "stopping",
  } as const;
  const status = admission.isClosed ? "stopping" : words[engine.state];
  const since = engine.lastFailureAt?.toISOString() ?? null;
  return c.json(
    { status, engine_restarts: engine.restarts, last_engine_failure: since },
    status === "ok" ? 200 : 503,
  );
}

function errorResponse(c: Ctx, error: ApiError): Response {
  c.get("record").error = error.code;
  if (error.retryAfter !== null) c.header("Retry-After", String(error.retryAfter));
  // the rest of a body that is too large is not waited for
  if (error.kind === "tooLarge") c.header("Connection", "close");
  return c.json(error.body, error.status);
}

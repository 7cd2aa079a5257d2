/** A server that is MLflow and Trackio at once, in memory, with faults on demand. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";

/** What it does with a request. lost: does it and breaks the connection before the answer. */
export type TrackerMood = "well" | "stalled" | "garbage" | "full" | "lost";

interface Point {
  key: string;
  value: number | string;
  step: number;
}

interface FakeRun {
  info: { run_id: string; status: string; run_name: string };
  data: { params: { key: string; value: string }[]; tags: { key: string; value: string }[] };
  points: Point[];
}

/** One row of Trackio. */
export interface TrackioRow {
  run: string;
  run_id: string;
  metrics: Record<string, number | string>;
  step: number;
  log_id: string;
  config: Record<string, unknown> | null;
}

/** The server. */
export interface FakeTracker extends AsyncDisposable {
  url: string;
  mood: TrackerMood;
  /** MLflow's runs. */
  runs: FakeRun[];
  /** Trackio's rows by log_id. */
  rows: Map<string, TrackioRow>;
  /** Method and path of every request. */
  requests: string[];
  /** Credentials of every request. */
  keys: (string | undefined)[];
}

/** Starts one on a free port. */
export async function fakeTracker(): Promise<FakeTracker> {
  const server = createServer((request, response) => void serve(tracker, request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const tracker: FakeTracker = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    mood: "well",
    runs: [],
    rows: new Map(),
    requests: [],
    keys: [],
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return tracker;
}

async function serve(
  tracker: FakeTracker,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const url = new URL(request.url ?? "", tracker.url);
  const { headers } = request;
  tracker.requests.push(`${request.method} ${url.pathname}`);
  tracker.keys.push(headers.authorization ?? headers["x-trackio-write-token"]?.toString());
  const body = request.method === "POST" ? ((await json(request)) as Fields) : {};
  const { mood } = tracker;
  if (mood === "stalled") return;
  if (mood === "full") {
    // a careless server shows what it was sent
    response.writeHead(507).end(`no space left for ${JSON.stringify(headers)}`);
    return;
  }
  if (mood === "garbage") {
    response.end("<html>Welcome to the hotel's network</html>");
    return;
  }
  const [status, value] = url.pathname.startsWith("/api/2.0/mlflow/")
    ? mlflow(tracker, url.pathname.slice("/api/2.0/mlflow/".length), {
        ...Object.fromEntries(url.searchParams),
        ...body,
      })
    : trackio(tracker, url.pathname, body);
  if (mood === "lost") request.socket.destroy();
  else response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
}

// biome-ignore lint/suspicious/noExplicitAny: what a request holds is not checked, a test fails where it is read
type Fields = Record<string, any>;

function mlflow({ runs }: FakeTracker, path: string, fields: Fields): [number, unknown] {
  const run = runs.find(({ info }) => info.run_id === fields["run_id"]);
  switch (path) {
    case "experiments/get-by-name":
      return [404, { error_code: "RESOURCE_DOES_NOT_EXIST" }];
    case "experiments/create":
      return [200, { experiment_id: "7" }];
    case "runs/search": {
      const key = /= '(\w+)'/.exec(fields["filter"] ?? "")?.[1];
      const found = runs.filter(({ data }) => data.tags.some((tag) => tag.value === key));
      return [
        200,
        { runs: found.map(({ info, data, points }) => ({ info, data: { ...data, metrics: points } })) },
      ];
    }
    case "runs/create": {
      const info = { run_id: `run${runs.length}`, status: "RUNNING", run_name: fields["run_name"] ?? "" };
      const made = { info, data: { params: [], tags: fields["tags"] ?? [] }, points: [] };
      runs.push(made);
      return [200, { run: made }];
    }
    case "runs/log-batch":
      run?.points.push(...((fields["metrics"] ?? []) as Point[]));
      run?.data.params.push(...((fields["params"] ?? []) as FakeRun["data"]["params"]));
      return [200, {}];
    case "runs/update":
      if (run !== undefined) run.info.status = fields["status"] ?? "";
      return [200, {}];
    case "metrics/get-history":
      return [200, { metrics: run?.points.filter(({ key }) => key === fields["metric_key"]) }];
    default:
      return [404, { error_code: "ENDPOINT_NOT_FOUND" }];
  }
}

function trackio({ rows }: FakeTracker, path: string, body: Fields): [number, unknown] {
  const { logs, run_id } = body["kwargs"] as { logs: TrackioRow[]; run_id: string };
  if (path === "/api/get_run_summary") {
    const own = [...rows.values()].filter((row) => row.run_id === run_id);
    return [200, { data: { num_logs: own.length } }];
  }
  if (path !== "/api/bulk_log") return [404, { error: "no such function" }];
  for (const log of logs) if (!rows.has(log.log_id)) rows.set(log.log_id, log);
  return [200, { data: null }];
}

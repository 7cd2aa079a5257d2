/** Where trackers are and what opens them: by environment variables that their own libraries read too; which, docs/trackers.md says. */
import { spawnSync } from "node:child_process";
import { ConfigError } from "../base/errors.ts";
import { warn } from "../base/warn.ts";
import { findProgram } from "../setup/path-search.ts";
import type { ServerPlace } from "./request.ts";
import type { RemoteTracker } from "./tracker.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** How one tracker is reached. */
export interface TrackerSettings extends ServerPlace {
  tracker: RemoteTracker;
  /** Project, or MLflow's experiment, in which the run is shown. */
  project: string;
  /** W&B: the Python that has its package. */
  python: string | null;
}

/** transformers' name of the project where none is given. */
const usualProject = "huggingface";

/**
 * The settings of a tracker.
 *
 * @param project - of the configuration; null: the tracker's own variable says
 * @throws {ConfigError} when it cannot be reached from here: nothing says where it is, or its package is missing
 */
export function trackerSettings(
  tracker: RemoteTracker,
  project: string | null,
  env: Environment = process.env,
): TrackerSettings {
  tellUnused(tracker, env);
  if (tracker === "mlflow") return mlflowSettings(project, env);
  return tracker === "trackio" ? trackioSettings(project, env) : wandbSettings(project, env);
}

const notUploaded = "models are not uploaded; preftune push takes them to the hub";

/** Variables that transformers' callbacks or the tracker's package read, and that do nothing here: why, and what does. */
const unused: Readonly<Record<RemoteTracker, Readonly<Record<string, string>>>> = {
  trackio: {},
  mlflow: {
    MLFLOW_RUN_ID: "a run is found again by a tag of its own",
    MLFLOW_NESTED_RUN: "a run has no parent",
    MLFLOW_TAGS: "set tags in MLflow",
    HF_MLFLOW_LOG_ARTIFACTS: notUploaded,
  },
  wandb: {
    WANDB_NAME: "give run_name",
    WANDB_RUN_ID: "a run has an id of its own, under which it is resumed",
    WANDB_LOG_MODEL: notUploaded,
    WANDB_WATCH: "gradients and weights are not sent",
  },
};

function tellUnused(tracker: RemoteTracker, env: Environment): void {
  for (const [name, why] of Object.entries(unused[tracker])) {
    if (/^(0|false|no|)$/i.test(env[name] ?? "")) continue;
    warn(`${tracker}: the variable ${name} is not used: ${why}.`);
  }
}

function mlflowSettings(project: string | null, env: Environment): TrackerSettings {
  const { MLFLOW_TRACKING_URI: uri, MLFLOW_TRACKING_TOKEN: token } = env;
  const { address, user, password } = serverAddress("mlflow", "MLFLOW_TRACKING_URI", uri, mlflowRemedy);
  const name = env["MLFLOW_TRACKING_USERNAME"] ?? user;
  const word = env["MLFLOW_TRACKING_PASSWORD"] ?? password;
  const basic = Buffer.from(`${name}:${word}`).toString("base64");
  const bearer = token ? `Bearer ${token}` : null;
  // of both, MLflow's client sends name and password
  const authorization = name !== "" && (word !== "" || bearer === null) ? `Basic ${basic}` : bearer;
  return {
    tracker: "mlflow",
    address,
    headers: authorization === null ? {} : { authorization },
    secrets: secretsOf([token, word, basic]),
    project: project ?? env["MLFLOW_EXPERIMENT_NAME"] ?? "Default",
    python: null,
  };
}

const mlflowRemedy =
  "Start `mlflow server` and set MLFLOW_TRACKING_URI=http://127.0.0.1:5000, or the address of yours; a folder or data base of MLflow's is reached by its server alone.";

function trackioSettings(project: string | null, env: Environment): TrackerSettings {
  const uri = env["TRACKIO_SERVER_URL"];
  const onSpace = env["TRACKIO_SPACE_ID"] !== undefined && uri === undefined;
  const { address, query } = serverAddress(
    "trackio",
    "TRACKIO_SERVER_URL",
    uri,
    `${onSpace ? "TRACKIO_SPACE_ID alone does not do: a Space is filled by `trackio sync` from a local server. " : ""}${trackioRemedy}`,
  );
  const token = env["TRACKIO_WRITE_TOKEN"] ?? query.get("write_token") ?? undefined;
  return {
    tracker: "trackio",
    address,
    headers: token === undefined ? {} : { "x-trackio-write-token": token },
    secrets: secretsOf([token]),
    project: project ?? env["TRACKIO_PROJECT"] ?? usualProject,
    python: null,
  };
}

const trackioRemedy =
  "Run `trackio show`, and set TRACKIO_SERVER_URL to the address with the write token that it prints (or TRACKIO_WRITE_TOKEN to the token).";

function wandbSettings(project: string | null, env: Environment): TrackerSettings {
  const python = findProgram("python3") ?? findProgram("python");
  const finds = "import importlib.util as u, sys; sys.exit(u.find_spec('wandb') is None)";
  if (python === null || spawnSync(python, ["-c", finds], { timeout: 60_000 }).status !== 0) {
    throw new ConfigError(
      `wandb: expected a Python with the package wandb, ${python === null ? "there is no python3 on the path" : `${python} has none`}. ` +
        "Run `pip install wandb` in the environment whose python3 is first on the path.",
    );
  }
  const isOffline = ["offline", "dryrun"].includes(env["WANDB_MODE"] ?? "");
  return {
    tracker: "wandb",
    address: isOffline ? "offline" : (env["WANDB_BASE_URL"] ?? "https://api.wandb.ai"),
    headers: {},
    secrets: secretsOf([env["WANDB_API_KEY"]]),
    project: project ?? env["WANDB_PROJECT"] ?? usualProject,
    python,
  };
}

/** The parts of a server's address, without what is secret of it. */
function serverAddress(
  tracker: RemoteTracker,
  variable: string,
  given: string | undefined,
  remedy: string,
): { address: string; user: string; password: string; query: URLSearchParams } {
  const url = given !== undefined && /^https?:\/\//.test(given) ? URL.parse(given) : null;
  if (url === null) {
    const got =
      given === undefined ? "it is not set" : `got ${JSON.stringify(given.replace(/\/\/[^/]*@/, "//***@"))}`;
    throw new ConfigError(
      `${tracker}: expected the address of its server, http://… or https://…, in ${variable}; ${got}. ${remedy}`,
    );
  }
  const { username, password, searchParams } = url;
  return {
    address: `${url.origin}${url.pathname}`.replace(/\/+$/, ""),
    user: decoded(username),
    password: decoded(password),
    query: searchParams,
  };
}

/** What a part of an address stands for; as it is where a % is only a %. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function secretsOf(found: readonly (string | undefined)[]): string[] {
  return found.filter((secret): secret is string => secret !== undefined && secret !== "");
}

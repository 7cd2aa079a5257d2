/**
 * Pushes files to a model repository of the hub in one commit: all of them or none. Large files go to the hub's storage before
 * it, each once: a push that was interrupted sends only what is not there yet.
 */
import { setTimeout } from "node:timers/promises";
import { type CommitOperation, commitIter, createRepo, downloadFile, modelInfo } from "@huggingface/hub";
import { ConfigError, messageOf } from "../base/errors.ts";
import type { PhaseListener } from "../base/phase-listener.ts";
import {
  accessTokenOf,
  HubError,
  type HubOptions,
  type HubRepo,
  hubName,
  hubRequest,
  listHubFiles,
} from "./hub.ts";
import {
  type FileDigest,
  manifestName,
  manifestOf,
  type PushFile,
  type PushPlan,
  type PushStep,
  planPush,
  type ReadFile,
  readManifest,
  readPushFile,
} from "./push-plan.ts";

/** How to push. */
export interface PushOptions extends HubOptions {
  /** A new repository is public, and one that is public may be written to. */
  isPublic: boolean;
  /** Look and change nothing. */
  isDryRun: boolean;
  /** Heading of the commit. */
  title: string;
  /** Written to the manifest: the program and its version. */
  madeBy: string;
  onPhase?: PhaseListener;
  /** Waits so many milliseconds before a request is tried again; for tests. */
  pause?: (ms: number) => Promise<unknown>;
}

/** What a push did, or would do. */
export interface PushResult {
  repo: string;
  /** Whether the repository was there before. */
  wasThere: boolean;
  isPublic: boolean;
  steps: PushStep[];
  /** Id of the commit; null: nothing had to change, or it was a dry run. */
  commit: string | null;
}

/** Attempts of each request, and milliseconds before the second: doubled for each further one. */
const attempts = 5;
const firstPauseMs = 1000;
const longestPauseMs = 60_000;
/** Bytes of a manifest that is read. */
const mostManifest = 4 * 2 ** 20;

/** A repository as it is. */
interface RepoState {
  isPublic: boolean;
  /** The commit that its branch stands for. */
  head: string;
}

/**
 * Pushes `files` to the model repository `name`, which is made where there is none: private unless asked otherwise.
 *
 * @throws {ConfigError} for a name that is none; a repository that is public, or has other files in the place of these
 * @throws {HubError} when the hub refuses or cannot be reached: nothing is changed then
 */
export async function pushToHub(
  name: string,
  files: readonly PushFile[],
  options: PushOptions,
): Promise<PushResult> {
  if (!/^\w[\w.-]*\/\w[\w.-]*$/.test(name)) {
    throw new ConfigError(`expected a repository as owner/name, got ${JSON.stringify(name)}.`);
  }
  const repo: HubRepo = { type: "model", name };
  const patient = { ...options, fetch: patientFetch(options) };
  return new Push(repo, patient).run(files);
}

/** The licence that a model's card on the hub names, its identifier; null where it names none or the hub does not answer. */
export async function hubLicense(name: string, options: HubOptions): Promise<string | null> {
  try {
    const { repo: _, ...rest } = await hubRequest({ type: "model", name }, options);
    const { cardData } = await modelInfo({ ...rest, name, revision: "main", additionalFields: ["cardData"] });
    const { license } = (cardData ?? {}) as { license?: unknown };
    return typeof license === "string" ? license : null;
  } catch {
    return null;
  }
}

class Push {
  readonly #repo: HubRepo;
  readonly #options: PushOptions;

  constructor(repo: HubRepo, options: PushOptions) {
    this.#repo = repo;
    this.#options = options;
  }

  async run(files: readonly PushFile[]): Promise<PushResult> {
    const { isPublic, isDryRun } = this.#options;
    this.#requireToken();
    const state = await this.#state();
    if (state?.isPublic === true && !isPublic) {
      throw new ConfigError(
        `${hubName(this.#repo)} is public: expected a private repository, or --public, which says that everyone may see the files. Nothing was pushed.`,
      );
    }
    const read = await this.#read(files);
    const plan = await this.#plan(read, state);
    const result = {
      repo: this.#repo.name,
      wasThere: state !== null,
      isPublic: state?.isPublic ?? isPublic,
      steps: plan.steps,
    };
    if (isDryRun || plan.steps.every(({ change }) => change === "same")) return { ...result, commit: null };
    const target = state ?? (await this.#create());
    return { ...result, commit: await this.#commit(read, plan, target) };
  }

  #requireToken(): void {
    if (accessTokenOf(this.#options) !== undefined) return;
    throw new ConfigError(
      `${hubName(this.#repo)}: expected a token that may write there, there is none. Log in with \`hf auth login\`, or set HF_TOKEN.`,
    );
  }

  async #read(files: readonly PushFile[]): Promise<ReadFile[]> {
    const read: ReadFile[] = [];
    for (const file of files) {
      this.#options.onPhase?.("files read", read.length, files.length + 1);
      read.push(await readPushFile(file));
    }
    const manifest = { path: manifestName, content: { text: manifestOf(read, this.#options.madeBy) } };
    read.push(await readPushFile(manifest));
    this.#options.onPhase?.("files read", read.length, files.length + 1);
    return read;
  }

  /** The repository, or null where there is none. */
  async #state(): Promise<RepoState | null> {
    try {
      const { repo, ...rest } = await hubRequest(this.#repo, this.#options);
      const asked = { ...rest, name: this.#repo.name, revision: "main", additionalFields: ["sha" as const] };
      const { sha, ...info } = await modelInfo(asked);
      return { isPublic: !info.private, head: String(sha) };
    } catch (error) {
      if (statusOf(error) === 404) return null;
      throw this.#failure(error);
    }
  }

  async #plan(files: readonly ReadFile[], state: RepoState | null): Promise<PushPlan> {
    const options = state === null ? null : { ...this.#options, revision: state.head };
    const there = options === null ? [] : await listHubFiles(this.#repo, options);
    const manifest = there.find(({ path }) => path === manifestName);
    const written =
      options === null || manifest === undefined || manifest.size > mostManifest
        ? {}
        : await this.#written(options);
    const plan = planPush(files, there, written);
    const [first] = plan.foreign;
    if (first === undefined) return plan;
    const more = plan.foreign.length === 1 ? "" : ` and ${plan.foreign.length - 1} more`;
    throw new ConfigError(
      `${hubName(this.#repo)} has another ${first}${more}, which no earlier push wrote or which was changed since: expected a new ` +
        "repository, or one with what an earlier push wrote. Choose another name, or remove the file there. Nothing was pushed.",
    );
  }

  async #written(options: HubOptions): Promise<Record<string, FileDigest>> {
    try {
      const blob = await downloadFile({ ...(await hubRequest(this.#repo, options)), path: manifestName });
      return readManifest((await blob?.text()) ?? "") ?? {};
    } catch (error) {
      throw this.#failure(error);
    }
  }

  async #create(): Promise<RepoState> {
    const { isPublic } = this.#options;
    try {
      const { accessToken = "", ...rest } = await hubRequest(this.#repo, this.#options);
      await createRepo({ ...rest, accessToken, visibility: isPublic ? "public" : "private" });
    } catch (error) {
      // another push, or this one before its answer was lost, has made it
      if (statusOf(error) !== 409) throw this.#failure(error);
    }
    const made = await this.#state();
    if (made !== null && (isPublic || !made.isPublic)) return made;
    throw new ConfigError(
      `${hubName(this.#repo)} was made and is ${made === null ? "not there" : "public"}: expected a private repository. Look at the settings of its owner. No file was pushed.`,
    );
  }

  async #commit(files: readonly ReadFile[], { steps }: PushPlan, { head }: RepoState): Promise<string> {
    const blobs = new Map(files.map(({ path, blob }) => [path, blob]));
    const operations = steps.flatMap(({ path, change }): CommitOperation[] => {
      const content = blobs.get(path);
      if (change === "removed") return [{ operation: "delete", path }];
      return change === "same" || content === undefined ? [] : [{ operation: "addOrUpdate", path, content }];
    });
    try {
      const params = await hubRequest(this.#repo, this.#options);
      // what others commit meanwhile is not overwritten: the hub then refuses
      const commits = commitIter({
        ...params,
        operations,
        title: this.#options.title,
        parentCommit: head,
        useXet: false,
      });
      for (;;) {
        const { done, value } = await commits.next();
        if (done === true) return value?.commit.oid ?? "";
        if (value.event !== "fileProgress") continue;
        this.#options.onPhase?.(`${value.path}, ${value.state}`, Math.round(100 * value.progress), 100);
      }
    } catch (error) {
      return this.#arrived(files, error);
    }
  }

  /** The commit that has all files although its answer was lost. @throws {HubError} when there is none */
  async #arrived(files: readonly ReadFile[], error: unknown): Promise<string> {
    const state = await this.#state().catch(() => null);
    const plan = state === null ? null : await this.#plan(files, state).catch(() => null);
    if (state !== null && plan?.steps.every(({ change }) => change === "same") === true) return state.head;
    throw this.#failure(error);
  }

  #failure(error: unknown): HubError {
    if (error instanceof HubError) return error;
    const status = statusOf(error);
    const cause = error instanceof Error && error.cause instanceof Error ? ` (${error.cause.message})` : "";
    const advice = {
      401: "Log in with `hf auth login`, or set HF_TOKEN to a token that may write.",
      403: "The token may not write there: check the owner's name and the token's rights.",
      409: "Something else was committed meanwhile: push again.",
      412: "Something else was committed meanwhile: push again.",
      429: "The hub asks for a pause: push again later.",
    }[status ?? 0];
    return new HubError(
      `${hubName(this.#repo)}: expected to push to this repository, but: ${messageOf(error)}${cause}. ` +
        `No file of the repository was changed; what was uploaded is not sent again. ${advice ?? "Push again once the hub answers."}`,
      status,
      error,
    );
  }
}

function statusOf(error: unknown): number | null {
  if (error instanceof HubError) return error.status;
  return error instanceof Error && "statusCode" in error ? Number(error.statusCode) : null;
}

/** `fetch` that tries again where the hub is busy, out of order or out of reach. Every request here may be sent twice. */
function patientFetch({ fetch: ask = fetch, pause = (ms) => setTimeout(ms) }: PushOptions): typeof fetch {
  return async (input, init) => {
    for (let count = 1; count < attempts; count++) {
      const answer = await ask(input, init).catch((error: unknown) => {
        if (init?.signal?.aborted === true) throw error;
        return null;
      });
      if (answer !== null && answer.status !== 429 && answer.status < 500) return answer;
      await answer?.body?.cancel();
      await pause(pauseMs(answer, count));
    }
    return ask(input, init);
  };
}

/** As long as the hub asks for, else longer each time. */
function pauseMs(answer: Response | null, count: number): number {
  const asked = 1000 * Number(answer?.headers.get("retry-after") ?? 0);
  return Math.min(longestPauseMs, asked > 0 ? asked : firstPauseMs * 2 ** (count - 1));
}

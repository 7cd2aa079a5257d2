/** Pushes what a run exported to the hub, with a card made of the run. */
import { readdirSync } from "node:fs";
import { join, relative } from "node:path";
import { codeVersion } from "../base/code-version.ts";
import { ConfigError, FileError } from "../base/errors.ts";
import { readJsonFile } from "../base/files.ts";
import { isRecord } from "../base/is-record.ts";
import { isFolder } from "../base/open-file.ts";
import type { PhaseListener } from "../base/phase-listener.ts";
import { shellWord } from "../base/shell-word.ts";
import { licenseOf } from "../gguf/license.ts";
import type { HubOptions } from "../hub/hub.ts";
import { hubLicense, type PushOptions, type PushResult, pushToHub } from "../hub/push.ts";
import type { PushFile } from "../hub/push-plan.ts";
import { type CardFacts, modelCard } from "../report/model-card.ts";
import { nameOf } from "../report/state-text.ts";
import { hubBase } from "../runs/lineage.ts";
import { openRun, type RunView } from "../runs/run-directory.ts";

/** What is pushed, and what is said of it. */
export interface PushRunOptions {
  /** Which export; null: the only one. */
  what: "adapter" | "model" | null;
  /** Where others find the base model, `owner/name`; null: where the run found it. */
  baseModel: string | null;
  /** Identifier of the licence; null: what the base model's card names. */
  license: string | null;
  hub?: HubOptions & Pick<PushOptions, "pause">;
}

/** A run's export, with its card. */
export interface PushedRun {
  files: PushFile[];
  /** README.md. */
  card: string;
}

/**
 * The files that a push of the run in `runDir` has.
 *
 * @throws {ConfigError} when it is no run, has two exports and none is named, or an adapter whose base model nobody else finds
 * @throws {FileError} when it has exported nothing
 */
export async function runFiles(runDir: string, options: PushRunOptions): Promise<PushedRun> {
  const run = openRun(runDir);
  const kind = exportOf(run, options.what);
  const dir = run.paths[kind];
  const found = hubBase(run.paths, run.config);
  const base = options.baseModel ?? found?.name ?? null;
  if (kind === "adapter" && base === null) {
    throw new ConfigError(
      `${runDir}: the adapter belongs to a model in a directory of this machine, which nobody else has: expected --base-model OWNER/NAME, ` +
        "where the base model is on the hub. Or train with export_merged, and push --export model.",
    );
  }
  const license = options.license ?? (await licenseOfBase(run, base, options.hub ?? {}));
  const facts: CardFacts = {
    kind,
    base,
    baseCommit: options.baseModel === null ? (found?.commit ?? null) : null,
    license,
    version: codeVersion(),
  };
  const card = modelCard(run, facts);
  const exported = filesBelow(dir).filter((path) => path !== "README.md");
  const files = exported.map((path): PushFile => {
    const file = join(dir, path);
    return { path, content: path === "adapter_config.json" ? withBase(file, base) : { file } };
  });
  return { files: [...files, { path: "README.md", content: { text: card } }], card };
}

/**
 * Pushes the run in `runDir` to the model repository `repo`, in one commit.
 *
 * @throws as {@link runFiles} and {@link pushToHub} do
 */
export async function pushRun(
  runDir: string,
  repo: string,
  options: PushRunOptions & Pick<PushOptions, "isPublic" | "isDryRun"> & { onPhase?: PhaseListener },
): Promise<PushResult> {
  const { files } = await runFiles(runDir, options);
  const { isPublic, isDryRun, onPhase, hub = {} } = options;
  return pushToHub(repo, files, {
    ...hub,
    isPublic,
    isDryRun,
    title: `${nameOf(openRun(runDir))}, by preftune ${codeVersion()}`,
    madeBy: `preftune ${codeVersion()}`,
    ...(onPhase === undefined ? {} : { onPhase }),
  });
}

function exportOf({ paths }: RunView, asked: PushRunOptions["what"]): "adapter" | "model" {
  const there = (["adapter", "model"] as const).filter((kind) => isFolder(paths[kind]));
  const [first] = there;
  if (asked !== null && there.includes(asked)) return asked;
  if (first === undefined) {
    throw new FileError(
      `${paths.dir}: expected a finished run with its export in adapter/ or model/, there is none. Let it finish: preftune train ${shellWord(paths.configYaml)} --resume`,
    );
  }
  if (asked !== null) {
    throw new FileError(
      `${paths.dir}: expected its export in ${asked}/, it has ${first}/ alone. Leave --export out.`,
    );
  }
  if (there.length === 1) return first;
  throw new ConfigError(
    `${paths.dir} has an adapter and a model: expected --export adapter or --export model.`,
  );
}

async function licenseOfBase(
  { config }: RunView,
  base: string | null,
  hub: HubOptions,
): Promise<string | null> {
  const local = isFolder(config.model_name_or_path) ? licenseOf(config.model_name_or_path).name : null;
  return local ?? (base === null ? null : hubLicense(base, hub));
}

/** An adapter's settings with the base model as others find it; the revision is of the model that they name. */
function withBase(file: string, base: string | null): PushFile["content"] {
  const settings = readJsonFile(file);
  if (base === null || !isRecord(settings)) return { file };
  const { base_model_name_or_path: own, revision = null } = settings;
  const named = { base_model_name_or_path: base, revision: base === own ? revision : null };
  return { text: `${JSON.stringify({ ...settings, ...named }, null, 2)}\n` };
}

/** Files in a directory and those inside, with / between the parts, by name; none whose name begins with a point. */
function filesBelow(dir: string): string[] {
  const entries = readdirSync(dir, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory() && !entry.name.startsWith("."))
    .map((entry) => relative(dir, join(entry.parentPath, entry.name)).replaceAll("\\", "/"))
    .sort();
}

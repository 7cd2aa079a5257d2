/** A run's model and adapter named by hub ids, fetched before anything reads them: everything later sees local directories. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../base/errors.ts";
import type { PhaseListener } from "../base/phase-listener.ts";
import { readSealed } from "../base/sealed.ts";
import type { RunConfig } from "../config/run-config.ts";
import { isAdapter } from "../formats/adapter.ts";
import { adapterPlace } from "../formats/adapter-scale.ts";
import type { PlaceKind } from "../formats/model-place.ts";
import { resolveModel } from "../hub/hub-model.ts";
import type { MethodSettings } from "../methods/index.ts";
import type { OpenRun } from "../runs/run-directory.ts";

/** A run's configuration with local directories in it. */
export interface LocalRun {
  config: RunConfig;
  /** The base model as an adapter's file names it: a hub id where the run has one. */
  baseModel: string;
  /** The commit that it names beside a hub id: of a run that asks for a revision; else null, as in PEFT. */
  baseRevision: string | null;
}

/**
 * `config` with its model and adapter fetched. A resumed run has the revisions it began with, even if a branch has moved:
 * the run's `models.json` keeps them.
 *
 * @throws {FileError} if one is neither there nor can be fetched
 */
export async function localRun(
  run: Pick<OpenRun, "paths" | "saveSealed">,
  config: RunConfig,
  onPhase: PhaseListener,
): Promise<LocalRun> {
  const path = join(run.paths.dir, "models.json");
  const pinned = existsSync(path) ? (readSealed(path) as Record<string, string>) : {};
  const find = (key: ModelKey, name: string, kind: PlaceKind = "model") =>
    resolveModel(pinned[key] ?? name, { onPhase, kind });
  const { model_name_or_path: name, adapter_name_or_path: adapterName } = config;
  refuseScale(adapterName);
  const model = await find("model_name_or_path", name);
  const adapter = adapterName === null ? null : await find("adapter_name_or_path", adapterName, "adapter");
  const valueName = valueModelOf(config.method);
  const kind = valueName !== null && isAdapter(valueName) ? "adapter" : "model";
  const value = valueName === null ? null : await find("value_model_name_or_path", valueName, kind);
  const found = {
    ...(model.pinned === name ? {} : { model_name_or_path: model.pinned }),
    ...(adapter === null || adapter.pinned === adapterName ? {} : { adapter_name_or_path: adapter.pinned }),
    ...(value === null || value.pinned === valueName ? {} : { value_model_name_or_path: value.pinned }),
  };
  if (Object.keys(found).length > 0 && !existsSync(path)) run.saveSealed(path, found);
  return {
    config: {
      ...config,
      model_name_or_path: model.directory,
      adapter_name_or_path: adapter?.directory ?? null,
      method: withValueModel(config.method, value?.directory ?? null),
    },
    baseModel: model.name,
    // a resumed run has its commit in any case: whether one was asked for its name says
    baseRevision: name.includes("@") ? model.commit : null,
  };
}

/** The keys that name models. */
type ModelKey = "model_name_or_path" | "adapter_name_or_path" | "value_model_name_or_path";

function valueModelOf(method: MethodSettings): string | null {
  return "value_model_name_or_path" in method ? method.value_model_name_or_path : null;
}

function withValueModel(method: MethodSettings, directory: string | null): MethodSettings {
  return "value_model_name_or_path" in method ? { ...method, value_model_name_or_path: directory } : method;
}

/** @throws {ConfigError} for an adapter at a scale, which training cannot continue */
function refuseScale(adapter: string | null): void {
  if (adapter === null || adapterPlace(adapter).scale === 1) return;
  throw new ConfigError(
    `adapter_name_or_path: ${adapter}: training continues an adapter as it is, and not a part of it. Leave the scale out, ` +
      "or merge the adapter at that scale first (preftune merge) and train on the result.",
  );
}

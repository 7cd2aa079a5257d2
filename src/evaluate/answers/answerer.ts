/** The model under test as the command line names it: a file of answers, an endpoint, or a local model. */
import { basename, dirname, resolve } from "node:path";
import { ConfigError } from "../../base/errors.ts";
import { statsOf } from "../../base/open-file.ts";
import { fileKind } from "../../data/data-file.ts";
import { adapterPlace, scaledPlace } from "../../formats/adapter-scale.ts";

/** A file of answers, an endpoint, or a local model. */
export type Answerer =
  | { kind: "file"; path: string }
  | { kind: "endpoint"; baseUrl: string; model: string }
  | { kind: "model"; model: string; adapter: string | null };

/** The forms of {@link parseAnswerer}, for help texts. */
export const ANSWERER_FORMS =
  "a file of answers, URL#MODEL of an OpenAI-style endpoint, a model directory or hub id, or MODEL+ADAPTER";

/**
 * `answers.jsonl` (any data file), `http://127.0.0.1:8000/v1#name`, `models/base`, `owner/name`, or `models/base+runs/x/adapter`.
 *
 * @throws {ConfigError} for an endpoint without the model's name
 */
export function parseAnswerer(text: string): Answerer {
  if (/^https?:\/\//i.test(text)) return { kind: "endpoint", ...parseEndpoint(text) };
  const stats = statsOf(text);
  if (stats !== null) {
    return stats.isDirectory() ? { kind: "model", model: text, adapter: null } : { kind: "file", path: text };
  }
  if (fileKind(text) !== null) return { kind: "file", path: text };
  const plus = text.lastIndexOf("+");
  if (plus <= 0) return { kind: "model", model: text, adapter: null };
  return { kind: "model", model: text.slice(0, plus), adapter: text.slice(plus + 1) };
}

/**
 * The address and model in `URL#MODEL`.
 *
 * @throws {ConfigError} when it is not of this form
 */
export function parseEndpoint(text: string): { baseUrl: string; model: string } {
  const hash = text.indexOf("#");
  const [baseUrl, model] = [text.slice(0, hash), text.slice(hash + 1)];
  if (hash > 0 && model !== "" && /^https?:\/\//i.test(baseUrl)) return { baseUrl, model };
  throw new ConfigError(
    `expected an endpoint as URL#MODEL, e.g. http://127.0.0.1:8000/v1#judge, got "${text}".`,
  );
}

/** `name` as a part of file names. */
export function inFileName(name: string): string {
  return name.replace(/[^\w.+-]+/g, "_").slice(0, 80);
}

/** A short name for tables. */
export function answererName(answerer: Answerer): string {
  switch (answerer.kind) {
    case "file":
      return basename(answerer.path).replace(/\.\w+$/, "");
    case "endpoint":
      return answerer.model;
    case "model": {
      const { model, adapter } = answerer;
      if (adapter === null) return directoryName(model);
      const { place, scale } = adapterPlace(adapter);
      return `${directoryName(model)}+${scaledPlace(directoryName(place), scale)}`;
    }
  }
}

/** The last part of a path; of what a run writes (`runs/x/model`, `runs/x/checkpoints/checkpoint-15`) with the run's name. */
function directoryName(path: string): string {
  const last = basename(path);
  if (!/^(model|adapter|checkpoint-\d+)$/.test(last)) return last;
  const around = dirname(resolve(path));
  const run = basename(around) === "checkpoints" ? dirname(around) : around;
  return `${basename(run)}/${last}`;
}

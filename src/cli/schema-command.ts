/** `preftune schema`, and the line by which an editor finds what it prints. */
import { join, relative, sep } from "node:path";
import { pathToFileURL } from "node:url";
import type { Command } from "commander";
import { configSchema } from "../config/json-schema.ts";
import { packageRoot } from "../setup/places.ts";

/** Adds the command to `preftune`. */
export function addSchemaCommand(preftune: Command): void {
  preftune
    .command("schema")
    .description(
      "print the JSON Schema (draft 7) of a run's YAML file; editors complete, explain and check keys by it",
    )
    .addHelpText(
      "after",
      () =>
        `\nThe first line of a YAML file in this folder, for editors with a YAML language server:\n  ${schemaLine(process.cwd())}`,
    )
    .action(() => void process.stdout.write(`${JSON.stringify(configSchema(), null, 1)}\n`));
}

/** The first line of a run's YAML file in `folder`: the schema of this installation. */
export function schemaLine(folder: string): string {
  const file = join(packageRoot, "run.schema.json");
  const path = relative(folder, file);
  const place = path.startsWith("..") ? pathToFileURL(file).href : path.split(sep).join("/");
  return `# yaml-language-server: $schema=${place}`;
}

/**
 * `npm run --silent sbom > sbom.cdx.json`: the bill of materials of the published package, CycloneDX: npm's own for the whole
 * lock file, cut to what comes with preftune at run time. (npm's `--omit=dev` leaves out packages that a development tool
 * uses too.)
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");

/** A package in a lock file. */
export interface LockedPackage {
  /** Name and, where it is there more than once, the place it has. */
  path: string;
  name: string;
  version: string;
  license?: string;
  integrity?: string;
  hasInstallScript?: boolean;
  /** Whether only development needs it. */
  isDevelopment: boolean;
}

/** A part of a CycloneDX bill of materials that is read here. */
interface Component {
  name: string;
  version: string;
}

/** A CycloneDX bill of materials. */
export interface BillOfMaterials {
  bomFormat: string;
  components: Component[];
  dependencies: { ref: string; dependsOn?: string[] }[];
}

/** The packages of a lock file of the checkout, its own folders left out. */
export function lockedPackages(lockFile = "package-lock.json"): LockedPackage[] {
  type Entry = Partial<LockedPackage> & { dev?: boolean; devOptional?: boolean; link?: boolean };
  const { packages } = JSON.parse(readFileSync(join(root, lockFile), "utf8")) as {
    packages: Record<string, Entry>;
  };
  return Object.entries(packages)
    .filter(([path, { link }]) => path.includes("node_modules/") && link !== true)
    .map(([path, { dev, devOptional, link: _, ...entry }]) => ({
      ...entry,
      path,
      name: path.replace(/^.*node_modules\//, ""),
      version: entry.version ?? "",
      isDevelopment: dev === true || devOptional === true,
    }));
}

/** The bill of the packages that come with preftune. */
export function billOfMaterials(): BillOfMaterials {
  const args = ["sbom", "--sbom-format=cyclonedx", "--package-lock-only"];
  const options = { cwd: root, encoding: "utf8", maxBuffer: 2 ** 26 } as const;
  const bill = JSON.parse(execFileSync("npm", args, options)) as BillOfMaterials;
  const runtime = new Set(
    lockedPackages()
      .filter(({ isDevelopment }) => !isDevelopment)
      .map(({ name, version }) => `${name}@${version}`),
  );
  const own = new Set([
    ...runtime,
    ...bill.dependencies.map(({ ref }) => ref).filter((ref) => ref.startsWith("preftune@")),
  ]);
  return {
    ...bill,
    components: bill.components.filter(({ name, version }) => runtime.has(`${name}@${version}`)),
    dependencies: bill.dependencies
      .filter(({ ref }) => own.has(ref))
      .map((entry) => ({ ...entry, dependsOn: entry.dependsOn?.filter((ref) => runtime.has(ref)) ?? [] })),
  };
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(billOfMaterials(), null, 2)}\n`);

/** Loads the addon (`native/`) and types every function it exports. The only file that touches the `.node` binary. */
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { isMainThread } from "node:worker_threads";
import { PreftuneError, TorchError } from "../base/errors.ts";
import { locateAddon } from "../setup/locate.ts";
import { chooseMatmul } from "../setup/matmul-choice.ts";

/** A live tensor's number in the table that the addon has for this thread. Never reused while a stale copy could be mistaken for it (see `handles.h`). */
export type Handle = number;

/** What torch says about one operator. */
export interface OperatorDescription {
  schema: string;
  parameters: { name: string; type: string; keywordOnly: boolean; hasDefault: boolean }[];
  returns: string[];
}

interface NativeModule {
  findOperator(name: string, overload: string): number | undefined;
  describeOperator(id: number): OperatorDescription;
  call(id: number, ...args: unknown[]): unknown;
  openScope(): number;
  closeScope(depth: number): void;
  keep(handle: Handle, depth: number): void;
  free(handle: Handle): void;
  isAlive(handle: Handle): boolean;
  liveTensorCount(): number;
  shape(handle: Handle): number[];
  dtype(handle: Handle): number;
  device(handle: Handle): string;
  isContiguous(handle: Handle): boolean;
  sameStorage(a: Handle, b: Handle): boolean;
  version(handle: Handle): number;
  requiresGrad(handle: Handle): boolean;
  setRequiresGrad(handle: Handle, value: boolean): void;
  isGradEnabled(): boolean;
  setGradEnabled(value: boolean): void;
  grad(handle: Handle): Handle | undefined;
  setGrad(handle: Handle, grad: Handle | undefined): void;
  backward(outputs: Handle[], gradients: Handle[] | undefined, retainGraph: boolean): void;
  gradients(
    outputs: Handle[],
    inputs: Handle[],
    gradients: Handle[] | undefined,
    retainGraph: boolean,
  ): (Handle | undefined)[];
  fromTypedArray(array: ArrayBufferView, shape: readonly number[], dtype: number, copy: boolean): Handle;
  read(handle: Handle, into: Uint8Array, from: number): void;
  item(handle: Handle): number | boolean;
  torchVersion(): string;
  setThreads(count: number): void;
  threads(): number;
  accelerator(): { name: string; count: number } | undefined;
  synchronize(device: string): void;
  useDevice(device: string): void;
  freeAtEnd(): void;
  holdGenerators(): void;
  releaseGenerators(): void;
  manualSeed(seed: number): void;
  generatorState(device: string): Handle;
  setGeneratorState(device: string, state: Handle): void;
  setDeterministic(value: boolean): void;
  setBatchInvariant(value: boolean): void;
  instructionSet(): string;
  hasOnednn(): boolean;
  usesOnednn(): boolean;
  useOnednn(value: boolean): void;
  beginWithOnednn(value: boolean): void;
  hostBytes(): number;
  deviceMemory(device: string): { allocated: number; peak: number };
  watchSignals(windowMs: number, hangsUp: boolean): void;
  unwatchSignals(): void;
  setStopNotice(text: string, leaves: boolean): boolean;
}

/**
 * GNU OpenMP's threads spin while they wait for each other. On cores that other programs use as well, a step then takes
 * several times as long; asleep at once, they cost a third more on idle ones. A short spin is near the best of both. Read by
 * the library when it is loaded; a user's own value stays.
 */
function limitSpinning(): void {
  if (process.env["OMP_WAIT_POLICY"] === undefined) process.env["GOMP_SPINCOUNT"] ??= "5000";
}

function load(): NativeModule {
  const path = locateAddon();
  limitSpinning();
  let addon: NativeModule;
  try {
    addon = createRequire(import.meta.url)(resolve(path)) as NativeModule;
  } catch (cause) {
    throw new TorchError(
      `the native addon ${path} does not load: ${cause instanceof Error ? cause.message : cause}. ` +
        `Run "npm run setup" to rebuild it against the torch that is installed now.`,
      { cause },
    );
  }
  addon.beginWithOnednn(chooseMatmul(addon.hasOnednn()).library === "onednn");
  // the main thread's tensors go with the process
  if (!isMainThread) addon.freeAtEnd();
  return addon;
}

/**
 * The addon's functions. It is loaded when the first of them is asked for: importing what stands on it needs no torch.
 * From then on this is the addon itself, and a call costs nothing more.
 *
 * @throws {ConfigError} at the first use, when it is not built
 */
export let native: NativeModule = new Proxy({} as NativeModule, {
  get: (_, name) => {
    native = load();
    return native[name as keyof NativeModule];
  },
});

/**
 * What `call` returns, with an error of the addon turned into a TorchError.
 *
 * @throws {TorchError} with the operator, its schema and the argument shapes in the message
 */
export function guarded<T>(call: () => T): T {
  try {
    return call();
  } catch (cause) {
    // an addon that is not built, or does not load
    if (cause instanceof PreftuneError) throw cause;
    throw new TorchError(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

/** The NVIDIA GPUs of the computer as nvidia-smi lists them, and which of them a torch device is. Reads, never changes anything. */
import { spawnSync } from "node:child_process";
import { findProgram } from "./path-search.ts";

/** A GPU as nvidia-smi lists it; null: the driver does not say. */
export interface NvidiaGpu {
  /** Its number in that list, which is by bus. */
  index: number;
  uuid: string;
  name: string;
  memoryMiB: number | null;
  driver: string;
  /** Compute capability, 8.0 say. */
  capability: number | null;
}

/** What decides how CUDA numbers GPUs. */
type CudaVariables = Readonly<Partial<Record<"CUDA_VISIBLE_DEVICES" | "CUDA_DEVICE_ORDER", string>>>;

const queried = "index,uuid,name,memory.total,driver_version,compute_cap";

/** One GPU per line of nvidia-smi's CSV without header and units. */
export function parseNvidiaSmi(text: string): NvidiaGpu[] {
  const number = (field = ""): number | null => (/^[\d.]+$/.test(field) ? Number(field) : null);
  return text
    .split("\n")
    .map((line) => line.split(",").map((field) => field.trim()))
    .filter((fields) => fields.length === queried.split(",").length)
    .map(([index, uuid = "", name = "", memory, driver = "", capability]) => ({
      ...{ index: Number(index), uuid, name, driver },
      ...{ memoryMiB: number(memory), capability: number(capability) },
    }));
}

/** GPUs with an NVIDIA driver, all of this host; empty where there is no nvidia-smi or it fails. */
export function readNvidiaGpus(): NvidiaGpu[] {
  const program = findProgram("nvidia-smi");
  if (program === null) return [];
  const query = [`--query-gpu=${queried}`, "--format=csv,noheader,nounits"];
  const result = spawnSync(program, query, { encoding: "utf8", timeout: 30_000 });
  return result.status === 0 ? parseNvidiaSmi(result.stdout) : [];
}

/**
 * The GPUs that this process sees: the first is cuda:0. CUDA numbers them by bus with CUDA_DEVICE_ORDER=PCI_BUS_ID, else the fastest
 * first, which is taken to be one that computes bfloat16, then the one with the most memory. null: one that nvidia-smi does not list
 * under that name, a part of a GPU say.
 */
export function visibleGpus(
  all: readonly NvidiaGpu[] = readNvidiaGpus(),
  variables: CudaVariables = process.env,
): (NvidiaGpu | null)[] {
  const { CUDA_VISIBLE_DEVICES: visible, CUDA_DEVICE_ORDER: order } = variables;
  const speed = (gpu: NvidiaGpu): number => (isHalfCapable(gpu) ? 1e9 : 0) + (gpu.memoryMiB ?? 0);
  const numbered = order === "PCI_BUS_ID" ? all : all.toSorted((a, b) => speed(b) - speed(a));
  if (visible === undefined) return [...numbered];
  const named = visible.split(",").map((one) => one.trim());
  return named.map((one) =>
    /^\d+$/.test(one)
      ? (numbered[Number(one)] ?? null)
      : (all.find(({ uuid }) => one !== "" && uuid.startsWith(one)) ?? null),
  );
}

/** The GPU that a torch device is, cuda or cuda:1 say; null where nobody says. */
export function gpuOf(
  device: string,
  visible: readonly (NvidiaGpu | null)[] = visibleGpus(),
): NvidiaGpu | null {
  return visible[Number(/:(\d+)$/.exec(device)?.[1] ?? 0)] ?? null;
}

/**
 * Whether a GPU computes bfloat16 itself: NVIDIA's do from compute capability 8.0 on, and are taken to where nobody says. Apple's is not
 * known to.
 *
 * @param gpu - what `device` is
 */
export function gpuComputesBfloat16(device: string, gpu?: NvidiaGpu | null): boolean {
  if (device === "mps") return false;
  const found = gpu === undefined ? gpuOf(device) : gpu;
  return found === null || isHalfCapable(found);
}

function isHalfCapable({ capability }: NvidiaGpu): boolean {
  return (capability ?? 8) >= 8;
}

/**
 * What tells a GPU that this process sees from the others of the host: its UUID where the driver says, else its place in
 * CUDA_VISIBLE_DEVICES.
 *
 * @param device - cuda:0 is the first of the visible ones
 */
export function identityOfGpu(device: string): string {
  const place = device.slice("cuda:".length);
  return (
    gpuOf(device)?.uuid ?? process.env["CUDA_VISIBLE_DEVICES"]?.split(",")[Number(place)]?.trim() ?? place
  );
}

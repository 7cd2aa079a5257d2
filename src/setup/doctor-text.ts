/** The doctor's report as text for people. */
import type { Compiler } from "./compiler.ts";
import type { AddonReport, DoctorReport, Problem } from "./doctor.ts";
import type { Torch } from "./find-torch.ts";
import { setsOf } from "./instruction-set.ts";
import { setupCommand } from "./places.ts";

/** `21.4 GiB` for bytes. */
function gibibytes(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}

function torchLine(torch: Torch | null, { given, loaded }: AddonReport): string {
  if (given)
    return loaded === null ? "unknown without the addon" : `${loaded.torchVersion}, that of the addon`;
  if (torch === null) return "not found";
  const appleSilicon = process.platform === "darwin" && process.arch === "arm64";
  const build =
    torch.cuda === null ? (appleSilicon ? "CPU and MPS build" : "CPU build") : `CUDA ${torch.cuda} build`;
  const places = { PREFTUNE_TORCH: "by PREFTUNE_TORCH", python3: "of python3", project: "the project's own" };
  return `${torch.version}, ${build}, ${places[torch.source]}: ${torch.folder}`;
}

function compilerLine(compiler: Compiler | null, { given }: AddonReport): string {
  if (given) return "not needed";
  return compiler === null ? "not found" : `${compiler.version}: ${compiler.path}`;
}

function addonLine(addon: AddonReport): string {
  if (addon.path === null) return `not ready: ${addon.error}`;
  if (addon.loaded === null) return `does not load: ${addon.path}`;
  const origin = addon.given ? "given by PREFTUNE_ADDON" : addon.prebuilt ? "prebuilt" : "built here";
  return `${origin} and loads: ${addon.path}`;
}

function deviceLine(report: DoctorReport): string {
  const gpus = report.gpus.map(
    ({ name, memoryMiB, driver }) =>
      `${name}${memoryMiB === null ? "" : ` ${(memoryMiB / 1024).toFixed(0)} GiB`} (driver ${driver})`,
  );
  if (report.addon.loaded?.hasMps === true) gpus.push("Apple GPU (MPS)");
  return gpus.length === 0 ? "CPU only" : gpus.join(", ");
}

function memoryLine(report: DoctorReport): string {
  const { totalBytes, limitBytes, availableBytes } = report.memory;
  const limit = limitBytes === null ? "" : `, limited to ${gibibytes(limitBytes)}`;
  return `${gibibytes(totalBytes)}${limit}, ${gibibytes(availableBytes)} available`;
}

function threadLine(report: DoctorReport): string {
  const { cores, usableCores } = report.processor;
  const threads = report.addon.loaded === null ? "" : `, torch uses ${report.addon.loaded.threads}`;
  return `${usableCores} of ${cores} usable${threads}`;
}

/** What ranks send each other by. */
function ranksLine({ torch, addon }: DoctorReport): string {
  if (process.platform !== "linux") return "one only; several are for Linux";
  if (torch?.cuda == null && !addon.loaded?.cudaDevices) return "by Gloo, on CPUs";
  return addon.noNccl === null
    ? "by Gloo on CPUs, by NCCL on GPUs"
    : `by Gloo on CPUs; not on several GPUs: ${addon.noNccl}`;
}

const libraryNames = { torch: "torch's own", onednn: "oneDNN" };

const shapeNames = {
  forward: "training, forward",
  inputGradient: "training, gradient of the input",
  weightGradient: "training, gradient of the weight",
};

/** Which library makes products, and what each reached on one thread by shape, a line each. */
function matmulLines({ matmul, askedSet, addon }: DoctorReport): string[] {
  if (matmul === null) return ["unknown without the addon"];
  const held = askedSet === null ? null : `PREFTUNE_ISA=${askedSet}`;
  const reasons = {
    asked: "by PREFTUNE_MATMUL",
    measured: "the faster here",
    assumed: addon.given
      ? "not measured; PREFTUNE_MATMUL chooses"
      : held === null
        ? `not measured on this processor yet; ${setupCommand} measures it`
        : `not measured with ${held} yet; ${held} ${setupCommand} measures it`,
  };
  const { library, reason, measurement } = matmul;
  const isOnly = reason === "measured" && (measurement === null || measurement.forward.onednn === 0);
  const head = `${libraryNames[library]}, ${isOnly ? "the only one here" : reasons[reason]}`;
  if (measurement === null) return [head];
  const others = ({ torch, onednn }: { torch: number; onednn: number }) =>
    `torch's own ${torch.toFixed(0)}${onednn === 0 ? "" : `, oneDNN ${onednn.toFixed(0)}`}`;
  const shapes = (Object.keys(shapeNames) as (keyof typeof shapeNames)[]).map(
    (shape) => `${shapeNames[shape]}: ${others(measurement[shape])}`,
  );
  const { fewRows } = measurement;
  const decoding = `generation, 8 rows: the addon's own ${fewRows.own.toFixed(0)}, always in use there; ${others(fewRows)}`;
  return [`${head}; GFLOP/s a thread:`, ...shapes, decoding];
}

/** The instruction sets of products and kernels. */
function kernelLine({ processor, askedSet, addon }: DoctorReport): string {
  const sets = setsOf(processor.features).join(", ");
  const own = addon.loaded === null ? "" : `; the addon's own use ${addon.loaded.instructionSet}`;
  return askedSet === null
    ? `${sets}${own}`
    : `held to ${askedSet} by PREFTUNE_ISA, the processor has ${sets}${own}`;
}

function problemText(problem: Problem, red: (text: string) => string): string {
  const mark = problem.blocking ? red("-") : "- (training can start all the same)";
  return `${mark} ${problem.what.split("\n").join("\n  ")}\n    ${problem.fix}`;
}

/**
 * The report as lines: one per fact, then each problem with the command that fixes it, then the verdict.
 *
 * @param colour - whether ANSI colours may be used
 */
export function formatDoctor(report: DoctorReport, colour: boolean): string {
  const paint = (code: number) => (text: string) => (colour ? `\u001b[${code}m${text}\u001b[0m` : text);
  const [red, green, bold] = [paint(31), paint(32), paint(1)];
  const { processor, defaults, compiler } = report;
  const features = processor.features.length === 0 ? "none of note" : processor.features.join(" ");
  const facts: [string, string][] = [
    ["Node", `${report.node.version}: ${report.node.path}`],
    ["torch", torchLine(report.torch, report.addon)],
    ["compiler", compilerLine(compiler, report.addon)],
    ["addon", addonLine(report.addon)],
    ["devices", deviceLine(report)],
    ["processor", `${processor.model}; features: ${features}`],
    ["threads", threadLine(report)],
    ["sets", kernelLine(report)],
    ...matmulLines(report).map((line, i): [string, string] => [i === 0 ? "products" : "", line]),
    ["ranks", ranksLine(report)],
    ["memory", memoryLine(report)],
    ["disk", `${gibibytes(report.diskFreeBytes)} free`],
    ["defaults", `device ${defaults.device}, dtype ${defaults.dtype}`],
  ];
  const lines = facts.map(([name, text]) => `${bold(name.padEnd(10))} ${text}`);
  if (report.problems.length > 0) {
    lines.push("", bold("Missing"), ...report.problems.map((problem) => problemText(problem, red)));
  }
  lines.push("", report.ready ? green("Training can start.") : red("Training cannot start."));
  return `${lines.join("\n")}\n`;
}

/** The doctor's report as text for people. */
import type { AddonReport, DoctorReport, Problem } from "./doctor.ts";
import type { Torch } from "./find-torch.ts";

/** `21.4 GiB` for bytes. */
function gibibytes(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}

function torchLine(torch: Torch | null): string {
  if (torch === null) return "not found";
  const appleSilicon = process.platform === "darwin" && process.arch === "arm64";
  const build =
    torch.cuda === null ? (appleSilicon ? "CPU and MPS build" : "CPU build") : `CUDA ${torch.cuda} build`;
  const places = { PREFTUNE_TORCH: "by PREFTUNE_TORCH", python3: "of python3", project: "the project's own" };
  return `${torch.version}, ${build}, ${places[torch.source]}: ${torch.folder}`;
}

function addonLine(addon: AddonReport): string {
  if (addon.path === null) return `not ready: ${addon.error}`;
  return addon.loaded === null ? `does not load: ${addon.path}` : `built and loads: ${addon.path}`;
}

function deviceLine(report: DoctorReport): string {
  const gpus = report.gpus.map(
    (gpu) => `${gpu.name} ${(gpu.memoryMiB / 1024).toFixed(0)} GiB (driver ${gpu.driver})`,
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
  if (torch?.cuda == null) return "by Gloo, on CPUs";
  return addon.noNccl === null
    ? "by Gloo on CPUs, by NCCL on GPUs"
    : `by Gloo on CPUs; not on several GPUs: ${addon.noNccl}`;
}

/** Speeds are those of one thread. */
function matmulLine({ matmul }: DoctorReport): string {
  if (matmul === null) return "unknown without the addon";
  const names = { torch: "torch's own", onednn: "oneDNN" };
  const reasons = {
    asked: "by PREFTUNE_MATMUL",
    measured: "the faster here",
    assumed: "not measured on this processor",
  };
  const speeds = matmul.measurement;
  const figures =
    speeds === null || speeds.onednn === 0
      ? ""
      : `: oneDNN ${speeds.onednn.toFixed(0)}, torch's own ${speeds.torch.toFixed(0)} GFLOP/s a thread`;
  const reason =
    matmul.reason === "measured" && figures === "" ? "the only one here" : reasons[matmul.reason];
  return `${names[matmul.library]}, ${reason}${figures}`;
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
  const { processor, compiler, defaults } = report;
  const features = processor.features.length === 0 ? "none of note" : processor.features.join(" ");
  const facts: [string, string][] = [
    ["Node", `${report.node.version}: ${report.node.path}`],
    ["torch", torchLine(report.torch)],
    ["compiler", compiler === null ? "not found" : `${compiler.version}: ${compiler.path}`],
    ["addon", addonLine(report.addon)],
    ["devices", deviceLine(report)],
    ["processor", `${processor.model}; features: ${features}`],
    ["threads", threadLine(report)],
    ["products", matmulLine(report)],
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

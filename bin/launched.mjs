/**
 * Loaded into a program whose launcher stays as its parent (Node 20): when the launcher is gone, killed so that it could pass
 * nothing on, the program gets what a closed terminal sends. It then stops as it does then, with a checkpoint where
 * it trains, and is nobody's orphan.
 */
import process from "node:process";
import { isMainThread } from "node:worker_threads";

const launcher = Number(new URL(import.meta.url).searchParams.get("launcher"));
const everyMs = 250;

if (isMainThread) {
  const timer = setInterval(() => {
    if (process.ppid === launcher) return;
    clearInterval(timer);
    process.kill(process.pid, process.env["PREFTUNE_NOHUP"] === "1" ? "SIGTERM" : "SIGHUP");
  }, everyMs);
  timer.unref();
}

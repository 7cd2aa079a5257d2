/** Loaded before a program (`node --import`): writes its peak resident memory in bytes to the file REPORT_PEAK as it ends. */
import { writeFileSync } from "node:fs";

process.on("exit", () => {
  const path = process.env["REPORT_PEAK"];
  if (path !== undefined) writeFileSync(path, String(process.resourceUsage().maxRSS * 1024));
});

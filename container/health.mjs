/** Whether the server of this container answers: status 0, else 1. The dashboard's refusal of someone without a key is an answer too. */
import process from "node:process";

const port = process.env["PREFTUNE_PORT"] ?? "8000";
try {
  const { status } = await fetch(`http://127.0.0.1:${port}/health`, { signal: AbortSignal.timeout(5000) });
  process.exitCode = status < 500 ? 0 : 1;
} catch {
  process.exitCode = 1;
}

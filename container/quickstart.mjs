/** The quick start in a container: `--entrypoint node IMAGE /opt/preftune/quickstart.mjs [--fast]`; it writes /runs/quickstart. */
import process from "node:process";

const { quickstart } = await import("./node_modules/preftune/dist/quickstart/quickstart.js");
const fast = process.argv.includes("--fast");
await quickstart({ output: "/runs/quickstart", seed: 1, fast, out: process.stdout });

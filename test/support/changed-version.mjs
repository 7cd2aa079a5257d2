/** Loaded before a program (--import): it is of another version, or its torch is, as CHANGED_VERSION says. */
import { registerHooks } from "node:module";

const [file, from, to] = {
  preftune: ["base/code-version.ts", "return (JSON", 'return "0.0.1" ?? (JSON'],
  torch: ["torch/machine.ts", "return native.torchVersion();", 'return "2.9.0";'],
}[process.env.CHANGED_VERSION];

registerHooks({
  load(url, context, next) {
    const loaded = next(url, context);
    if (!url.endsWith(file)) return loaded;
    const source = String(loaded.source);
    if (!source.includes(from)) throw new Error(`${file} has no ${from}`);
    return { ...loaded, source: source.replace(from, to) };
  },
});

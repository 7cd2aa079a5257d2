/** Loaded before a program (--import): it is of another version, and its torch is. */
import { registerHooks } from "node:module";

const changes = [
  ["base/code-version.ts", "return (JSON", 'return "0.0.1" ?? (JSON'],
  ["torch/machine.ts", "return native.torchVersion();", 'return "2.9.0";'],
];

registerHooks({
  load(url, context, next) {
    const loaded = next(url, context);
    const [file, from, to] = changes.find(([end]) => url.endsWith(end)) ?? [];
    if (file === undefined) return loaded;
    const source = String(loaded.source);
    if (!source.includes(from)) throw new Error(`${file} has no ${from}`);
    return { ...loaded, source: source.replace(from, to) };
  },
});

/**
 * Loaded into every Node program below a launcher that was started with SIGHUP ignored (`become-node.mjs` tells how that is
 * seen): ignores it here too. The listeners of src/base/stop-signals.ts leave SIGHUP out then.
 */
process.on("SIGHUP", () => {});

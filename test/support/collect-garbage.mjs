/** Loaded before a program whose memory is measured: frees what is unreachable once a second. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");
setInterval(runInNewContext("gc"), 1000).unref();

/** Ten thousand requests to a server in bfloat16, the default where a processor computes in it. */
import { test } from "node:test";
import { computesBfloat16, usableFeatures } from "../../src/setup/hardware.ts";
import { soakRequests } from "../support/soak-requests.ts";

test(
  "requests of every kind, computed in bfloat16, leave no tensor behind, and the server's processes do not grow",
  { skip: computesBfloat16(usableFeatures()) ? false : "this processor only emulates bfloat16" },
  () => soakRequests("bfloat16"),
);

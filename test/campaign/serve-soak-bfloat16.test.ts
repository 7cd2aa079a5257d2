/** Ten thousand requests to a server in bfloat16, the default where a processor computes in it. */
import { test } from "node:test";
import { skipWithoutBfloat16 } from "../support/half-precision.ts";
import { soakRequests } from "../support/soak-requests.ts";

test(
  "requests of every kind, computed in bfloat16, leave no tensor behind, and the server's processes do not grow",
  { skip: skipWithoutBfloat16() },
  () => soakRequests("bfloat16"),
);

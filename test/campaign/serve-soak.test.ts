/** Ten thousand requests to a server in float32. */
import { test } from "node:test";
import { soakRequests } from "../support/soak-requests.ts";

test("requests of every kind leave no tensor behind, and the server's processes do not grow", () =>
  soakRequests("float32"));

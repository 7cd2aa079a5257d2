/** Fuzz of HTTP bodies, part 2 of 2: every body is answered or refused with the server's own error. */
import { test } from "node:test";
import { fuzzHttp } from "../support/fuzz-http.ts";

test("bodies that are nearly right are answered or refused by name, part 2", () => fuzzHttp(2));

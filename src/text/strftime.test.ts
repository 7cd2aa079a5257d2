import assert from "node:assert/strict";
import test from "node:test";

import { strftime } from "./strftime.ts";

// Texts of Python 3.11's datetime.strftime on Linux.
test("writes dates as Python does, in English and UTC", () => {
  const date = new Date(Date.UTC(2024, 6, 6, 0, 5, 9));
  assert.equal(strftime(date, "%d %b %Y"), "06 Jul 2024");
  assert.equal(strftime(date, "%A, %B %-d, %y at %I:%M:%S %p"), "Saturday, July 6, 24 at 12:05:09 AM");
  assert.equal(strftime(date, "%a %H %m 100%% %q"), "Sat 00 07 100% %q");
  assert.equal(
    strftime(date, "%c|%D|%F|%T|%R|%r|%x|%X|%h|%P|%f|%Z|%z|%C"),
    "Sat Jul  6 00:05:09 2024|07/06/24|2024-07-06|00:05:09|00:05|12:05:09 AM|07/06/24|00:05:09|Jul|am|000000|||20",
  );
  assert.equal(
    strftime(date, "%e %-e %_d %k %l %_H %^a %^B %0e %-m %s"),
    " 6 6  6  0 12  0 SAT JULY 06 7 1720224309",
  );
});

test("numbers of days and weeks are Python's at the turn of a year", () => {
  const format = "%j %U %W %V %G %g %u %w";
  assert.equal(strftime(new Date(Date.UTC(2024, 6, 6)), format), "188 26 27 27 2024 24 6 6");
  assert.equal(strftime(new Date(Date.UTC(2023, 11, 31)), format), "365 53 52 52 2023 23 7 0");
  assert.equal(strftime(new Date(Date.UTC(2021, 0, 3)), format), "003 01 00 53 2020 20 7 0");
});

test("a code that is not available is refused by its name", () => {
  // Python on Linux: widths ("%3d" is "001"), several flags, and %f with a flag, which stays as it is
  for (const code of ["%#d", "%3d", "%010Y", "%-10B", "%--d", "%^#a", "%-f", "%^P", "%^q", "%Ey", "%5"]) {
    assert.throws(
      () => strftime(new Date(0), `on ${code}`),
      { message: `strftime's ${code === "%Ey" ? "%E" : code} is not supported in chat templates here` },
      code,
    );
  }
  assert.equal(strftime(new Date(0), "5% %é 100%"), "5% %é 100%");
});

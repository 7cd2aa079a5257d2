/** Python's `strftime` for the codes that chat templates use, in English and in UTC, so that a render repeats everywhere. */
const days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const months = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];

/** `date` written by a Python format such as "%d %b %Y". Unknown codes stay as they are. */
export function strftime(date: Date, format: string): string {
  return format.replace(/%(-?)([a-zA-Z%])/g, (code, bare: string, letter: string) => {
    const text = field(date, letter);
    if (text === null) return code;
    return bare === "-" ? text.replace(/^0+(?=\d)/, "") : text;
  });
}

function field(date: Date, letter: string): string | null {
  const day = days[date.getUTCDay()] ?? "";
  const month = months[date.getUTCMonth()] ?? "";
  const fields: Record<string, string> = {
    Y: String(date.getUTCFullYear()).padStart(4, "0"),
    y: pad(date.getUTCFullYear() % 100),
    m: pad(date.getUTCMonth() + 1),
    d: pad(date.getUTCDate()),
    H: pad(date.getUTCHours()),
    I: pad(date.getUTCHours() % 12 || 12),
    M: pad(date.getUTCMinutes()),
    S: pad(date.getUTCSeconds()),
    p: date.getUTCHours() < 12 ? "AM" : "PM",
    A: day,
    a: day.slice(0, 3),
    B: month,
    b: month.slice(0, 3),
    Z: "UTC",
    z: "+0000",
    "%": "%",
  };
  return fields[letter] ?? null;
}

function pad(value: number): string {
  return String(value).padStart(2, "0");
}

/** Logging in and out, and links for others. */
import { deleteCookie, getCookie, setCookie } from "hono/cookie";
import { z } from "zod";
import { emptyTexts } from "./empty-texts.ts";
import { PageError } from "./page-error.ts";
import { bodyOf } from "./request-body.ts";
import { type Ctx, type DashboardContext, ownerOnly, type Route } from "./route.ts";
import type { Session } from "./sessions.ts";

/** Everybody who has logged in. */
const everyRole = ["owner", "labeller", "viewer"] as const;

const tokenBody = z.strictObject({ token: z.string().max(200) });
const linkBody = z.strictObject({
  role: z.enum(everyRole),
  name: z.string().trim().min(1).max(60),
});

/** The routes. */
export function sessionRoutes(context: DashboardContext): Route[] {
  const { sessions, readOnly } = context;
  const shown = (session: Session | null): object => ({
    ...session,
    readOnly,
    empty: emptyTexts(context, session),
  });
  return [
    {
      method: "POST",
      path: "/api/session",
      roles: "anyone",
      changesNothing: true,
      answer: async (c) => {
        const { token } = await bodyOf(c, tokenBody);
        const secret = sessions.exchange(token);
        if (secret === null) {
          throw new PageError(
            401,
            "This link was used already or is of an earlier start of the dashboard: a link works once. Press Enter where the dashboard runs for a new one.",
          );
        }
        setCookie(c, cookieName(c), secret, { httpOnly: true, sameSite: "Strict", path: "/" });
        return c.json(shown(sessions.of(secret)));
      },
    },
    {
      method: "GET",
      path: "/api/session",
      roles: everyRole,
      answer: (c) => c.json(shown(c.get("session"))),
    },
    {
      method: "DELETE",
      path: "/api/session",
      roles: everyRole,
      changesNothing: true,
      answer: (c) => {
        sessions.end(secretOf(c));
        deleteCookie(c, cookieName(c), { path: "/" });
        return c.json({});
      },
    },
    {
      method: "POST",
      path: "/api/links",
      roles: ownerOnly,
      changesNothing: true,
      answer: async (c) => c.json({ token: sessions.link(await bodyOf(c, linkBody)) }),
    },
  ];
}

/** The secret that a request brings; "" without one. */
export function secretOf(c: Ctx): string {
  return getCookie(c, cookieName(c)) ?? "";
}

/** Cookies are the same for all ports of a host: so the name has the port. */
function cookieName(c: Ctx): string {
  return `preftune-${c.env?.incoming?.socket.localPort ?? 0}`;
}

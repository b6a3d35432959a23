// A shop of ten thousand customers: what it takes to move in, and to compare its books with the registry's.

import { randomBytes } from "node:crypto";
import { Stop, step } from "../scripts/lib/say.mjs";
import { issueToken, startRegistry } from "./registry.mjs";
import { table } from "./report.mjs";

const CUSTOMERS = 10_000;
/** What each of them has bought, of so many packages. */
const ORDERS = 3;
const PACKAGES = 50;
/** The most that an import takes. */
const AT_ONCE = 1_000;

/** In which time they have to have moved in, in seconds. */
const IMPORT_LIMIT = 60;
/** By how many requests they have to be compared. */
const REQUEST_LIMIT = 25;

/** No request may take longer: 2 min. */
const TIMEOUT = 120_000;

export async function shop() {
  const registry = await startRegistry({ instrumented: true });
  try {
    const whole = client(registry, await issueToken(registry, { scopes: ["storefront:*"] }));
    const limited = client(registry, await issueToken(registry, { scopes: ["storefront:*"], grants: [{ pattern: "bench/*" }] }));
    const customers = Array.from({ length: CUSTOMERS }, (_, at) => customer(at));
    const moved = await step(`Moving ${CUSTOMERS} customers in`, () => moveIn(whole, customers));
    const compared = await step("Comparing the books", () => compare(whole, "/consumers?include=entitlements&limit=1000"));
    const rows = [
      ["import", moved],
      ["the same again", await moveIn(whole, customers)],
      ["consumers with permissions", compared],
      ["the same, limited token", await compare(limited, "/consumers?include=entitlements&limit=1000")],
      ["consumers alone", await compare(whole, "/consumers")],
      ["the same, limited token", await compare(limited, "/consumers")],
      ["permissions", await compare(whole, "/permissions")],
    ];
    table(
      ["what", "requests", "seconds", "slowest", "D1 batches", "statements", "MB"],
      rows.map(([title, { requests, seconds, slowest, batches, statements, bytes }]) => [
        title, String(requests), seconds.toFixed(1), `${slowest.toFixed(1)} s`, String(batches), String(statements), (bytes / 1e6).toFixed(1),
      ]),
    );
    return verdicts(moved, compared, customers);
  } finally {
    await registry.stop();
  }
}

function verdicts(moved, compared, customers) {
  const created = moved.rows.filter(({ result }) => result === "created").length;
  const ids = new Set(compared.rows.map(({ customer_id }) => customer_id));
  const complete = ids.size === customers.length && compared.rows.every(({ entitlements }) => entitlements.length === ORDERS);
  return [
    {
      ok: created === CUSTOMERS && moved.seconds <= IMPORT_LIMIT,
      text: `${created} customers moved in within ${moved.seconds.toFixed(1)} s, wanted ${CUSTOMERS} within ${IMPORT_LIMIT} s`,
    },
    {
      ok: complete && compared.rows.length === CUSTOMERS && compared.requests <= REQUEST_LIMIT,
      text: `${ids.size} customers compared in ${compared.requests} requests, wanted ${CUSTOMERS} in ${REQUEST_LIMIT} at most`,
    },
  ];
}

/** A customer of the older system, with its keys and what it has bought. */
function customer(at) {
  const bought = (nth) => ({
    package: `bench/extension-${(at + nth) % PACKAGES}`,
    version: "5.*",
    order_id: `${at}-${nth}`,
    updates_until: `${2027 + nth}-01-01 00:00:00`,
  });
  return {
    email: `customer-${at}@example.com`,
    customer_id: String(at),
    public_key: randomBytes(16).toString("hex"),
    private_key: randomBytes(16).toString("hex"),
    created_at: "2020-01-01 00:00:00",
    entitlements: Array.from({ length: ORDERS }, (_, nth) => bought(nth)),
  };
}

async function moveIn(ask, customers) {
  return ask(async (send) => {
    for (let at = 0; at < customers.length; at += AT_ONCE) {
      await send("/consumers/import", JSON.stringify(customers.slice(at, at + AT_ONCE)));
    }
  });
}

/** Reads a list to its end, by the links to the next page. */
async function compare(ask, first) {
  return ask(async (send) => {
    for (let path = first; path !== undefined; ) path = await send(path);
  });
}

/**
 * A shop with a token. What it returns does `work` with a function that sends one request and returns the path of the next page,
 * and says what that took: `{ requests, seconds, slowest, batches, statements, bytes, rows }`.
 */
function client(registry, token) {
  return async (work) => {
    const before = await registry.calls();
    const took = { requests: 0, slowest: 0, bytes: 0, rows: [] };
    const send = async (path, body) => {
      const begun = performance.now();
      const answer = await fetch(`${registry.url}/api/storefront${path}`, {
        method: body === undefined ? "GET" : "POST",
        body,
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        signal: AbortSignal.timeout(TIMEOUT),
      });
      const text = await answer.text();
      if (!answer.ok) throw new Stop(`${path} answered ${answer.status}: ${text.slice(0, 500)}`);
      took.requests += 1;
      took.slowest = Math.max(took.slowest, (performance.now() - begun) / 1000);
      took.bytes += text.length;
      took.rows.push(...JSON.parse(text));
      const [, next] = /<[^>]*\/api\/storefront([^>]*)>; rel="next"/.exec(answer.headers.get("link") ?? "") ?? [];
      return next;
    };
    const begun = performance.now();
    await work(send);
    const seconds = (performance.now() - begun) / 1000;
    const after = await registry.calls();
    return { ...took, seconds, batches: after.batches - before.batches, statements: after.statements - before.statements };
  };
}

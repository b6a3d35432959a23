// A registry to measure: in workerd with empty state, reached without Miniflare's own worker in between.

import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startWorker } from "../scripts/lib/local.mjs";
import { Stop } from "../scripts/lib/say.mjs";

const ADMIN_TOKEN = "bench-admin-token";
const ENCRYPTION_KEY = Buffer.alloc(32, 7).toString("base64");

/** No request for set-up may take longer: 30 s. */
const PATIENCE = 30_000;

/** More than any run can use up. */
const UNLIMITED = 1_000_000_000;

/** A listener of a worker's own: no proxy, no router. */
export const DIRECT = { unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }] };

/** A worker of one JavaScript module, to run beside the registry. */
export function script(name, contents, options = {}) {
  return {
    name,
    compatibilityDate: "2026-04-01",
    modules: [{ type: "ESModule", path: `${name}.mjs`, contents }],
    ...DIRECT,
    ...options,
  };
}

/**
 * Starts the registry, with the workers `beside` in the same process. `state`: a folder to keep, or else a new one that
 * vanishes at the end.
 */
export async function startRegistry({ state, modules, beside } = {}) {
  const folder = state ?? temporaryFolder();
  const logs = [];
  const worker = await startWorker({
    state: folder,
    modules,
    beside,
    options: { name: "registry", ...DIRECT },
    bindings: { ADMIN_TOKEN, ENCRYPTION_KEY },
    onLog: ({ level, message }) => logs.push({ level, message }),
  });
  const url = await worker.miniflare.unsafeGetDirectURL("registry");
  const database = await worker.miniflare.getD1Database("DB", "registry");
  return {
    logs,
    url: url.origin,
    database,
    bucket: () => worker.miniflare.getR2Bucket("ARTIFACTS", "registry"),
    /** The port of a worker, the registry's own unless named. */
    portOf: async (name = "registry") => Number((await worker.miniflare.unsafeGetDirectURL(name)).port),
    /** A request of the operator, whose answer is JSON. */
    async admin(path, json) {
      const sent = json === undefined ? {} : { method: "POST", body: JSON.stringify(json) };
      const headers = { authorization: `Bearer ${ADMIN_TOKEN}`, "content-type": "application/json" };
      const answer = await fetch(url.origin + path, { ...sent, headers, signal: AbortSignal.timeout(PATIENCE) });
      if (!answer.ok) throw new Stop(`${path} answered ${answer.status}: ${await answer.text()}`);
      return answer.json();
    },
    /** The first column of a query's only row. */
    async count(sql, ...args) {
      return Object.values(await database.prepare(sql).bind(...args).first())[0];
    },
    async stop() {
      await worker.stop();
      if (state === undefined) rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A folder for a registry's state. */
export function temporaryFolder() {
  return mkdtempSync(join(tmpdir(), "rostrum-bench-"));
}

/** Issues a token without a limit; `fields` as the API takes them. */
export async function issueToken(registry, fields = {}) {
  const { token } = await registry.admin("/api/tokens", { description: "bench", rate_limit_max: UNLIMITED, ...fields });
  return token;
}

/**
 * Puts `number` tokens into the database, each with these `grants` (`{ target, version_constraint }`), without asking
 * the registry, which then knows none of them.
 */
export async function insertTokens(registry, number, grants) {
  const tokens = Array.from({ length: number }, plainToken);
  for (let at = 0; at < tokens.length; at += 1000) {
    const rows = tokens.slice(at, at + 1000).map((token) => {
      const hash = createHash("sha256").update(token).digest("hex");
      return { uid: hash.slice(0, 32), hash };
    });
    const insertToken = registry.database
      .prepare(
        `INSERT INTO tokens (uid, organization_id, hash, description, scopes, rate_limit_max, metadata, created_at)
         SELECT value ->> 'uid', 1, value ->> 'hash', 'bench', '["packages:read"]', ${UNLIMITED}, '{}', 0
           FROM json_each(?1)`,
      )
      .bind(JSON.stringify(rows));
    const insertGrants = registry.database
      .prepare(
        `INSERT INTO grants (token_id, target, version_constraint)
         SELECT t.id, g.value ->> 'target', coalesce(g.value ->> 'version_constraint', '*')
           FROM json_each(?1) r JOIN tokens t ON t.uid = r.value ->> 'uid', json_each(?2) g`,
      )
      .bind(JSON.stringify(rows), JSON.stringify(grants));
    await registry.database.batch([insertToken, insertGrants]);
  }
  return tokens;
}

const BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** A token in the registry's form: `rst_`, 40 random characters, and their CRC-32 in 6. */
function plainToken() {
  const body = "rst_" + Array.from(randomBytes(40), (byte) => BASE62[byte % 62]).join("");
  let sum = "";
  for (let rest = crc32(body), at = 0; at < 6; at += 1, rest = Math.floor(rest / 62)) sum = BASE62[rest % 62] + sum;
  return body + sum;
}

function crc32(text) {
  let crc = ~0;
  for (const byte of Buffer.from(text)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

/** Registers the repository at `url` and waits until it is synced, and with `archives` until each tag has its zip. */
export async function register(registry, url, { archives = true, patience = 60_000 } = {}) {
  const { id } = await registry.admin("/api/repositories", { url });
  await settle(registry, id, { archives, patience });
  return id;
}

/** Waits until nothing is left to do for a repository. */
export async function settle(registry, id, { archives = true, patience = 60_000 } = {}) {
  for (const end = Date.now() + patience; Date.now() < end; ) {
    const { sync_status: status, error } = await registry.admin(`/api/repositories/${id}`);
    if (status === "failed") throw new Stop(`The sync failed: ${error}`);
    const unbuilt =
      archives &&
      (await registry.count(
        `SELECT count(*) FROM dists d JOIN versions v ON v.id = d.version_id
          WHERE v.ref_name LIKE 'refs/tags/%' AND d.artifact_sha256 IS NULL AND d.error IS NULL`,
      ));
    if (status === "ok" && !unbuilt) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Stop("A repository did not settle.");
}

// A registry to measure: in workerd with empty state, reached without Miniflare's own worker in between.

import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startWorker } from "../scripts/lib/local.mjs";
import { build } from "../scripts/lib/paths.mjs";
import { Stop } from "../scripts/lib/say.mjs";
import { heapBytes } from "./inspector.mjs";
import { basic } from "./load-client.mjs";

const ADMIN_TOKEN = "bench-administrator-token";
const ENCRYPTION_KEY = Buffer.alloc(32, 7).toString("base64");

/** No request for set-up may take longer: 30 s. */
const TIMEOUT = 30_000;

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

/** What stands before the registry's own module when its jobs are looked at. */
function instruments() {
  return ["instrumented.js", "memory.js"].map((name) => ({
    type: "ESModule",
    path: join(build, name),
    contents: readFileSync(new URL(name, import.meta.url), "utf8"),
  }));
}

/** What an instrumented registry writes. */
const REPORT = /^bench: (.*)$/;

/**
 * Starts the registry, with the workers `beside` in the same process. `state`: a folder to keep, or else a new one that
 * vanishes at the end. An `instrumented` one tells what its jobs take (`job`), its memory (`wasmMegabytes`) and what it asks the database (`calls`).
 * One that is `inspected` tells what JavaScript holds, too (`heapMegabytes`).
 */
export async function startRegistry({ state, instrumented = false, inspected = false, beside } = {}) {
  const folder = state ?? temporaryFolder();
  const jobs = [];
  const worker = await startWorker({
    state: folder,
    modules: instrumented ? instruments() : [],
    beside,
    inspectorPort: inspected ? 0 : undefined,
    options: { name: "registry", ...DIRECT },
    bindings: { ADMIN_TOKEN, ENCRYPTION_KEY },
    onLog({ message }) {
      const report = REPORT.exec(message);
      if (report) jobs.push(JSON.parse(report[1]));
    },
  });
  const url = await worker.miniflare.unsafeGetDirectURL("registry");
  const database = await worker.miniflare.getD1Database("DB", "registry");
  return {
    url: url.origin,
    database,
    bucket: () => worker.miniflare.getR2Bucket("ARTIFACTS", "registry"),
    /** The port of a worker, the registry's own unless named. */
    portOf: async (name = "registry") => Number((await worker.miniflare.unsafeGetDirectURL(name)).port),
    /** A request of the operator, whose answer is JSON. */
    async admin(path, json) {
      const sent = json === undefined ? {} : { method: "POST", body: JSON.stringify(json) };
      const headers = { authorization: `Bearer ${ADMIN_TOKEN}`, "content-type": "application/json" };
      const answer = await fetch(url.origin + path, { ...sent, headers, signal: AbortSignal.timeout(TIMEOUT) });
      if (!answer.ok) throw new Stop(`${path} answered ${answer.status}: ${await answer.text()}`);
      return answer.json();
    },
    /** What the next job of this kind took, once it has ended: `{ job, batches, largestBatch, wasmBytes }`, the latter two in bytes. */
    job: (kind) =>
      until(`the job ${kind}`, async () => {
        const at = jobs.findIndex(({ job }) => job === kind);
        return at >= 0 && jobs.splice(at, 1)[0];
      }),
    /** The wasm memory, in MB; it never shrinks. */
    wasmMegabytes: async () => Number(await (await fetch(`${url.origin}/bench/wasm-bytes`)).text()) / 1e6,
    /** What an instrumented one has asked the database so far: `{ batches, statements }`. */
    calls: async () => (await fetch(`${url.origin}/bench/calls`)).json(),
    /** The first column of a query's only row. */
    async count(sql, ...args) {
      return Object.values(await database.prepare(sql).bind(...args).first())[0];
    },
    /** What JavaScript holds of an inspected one after a garbage collection, in MB; the wasm memory is not in it. */
    async heapMegabytes() {
      const request = async () => (await fetch(`${url.origin}/health`)).text();
      return (await heapBytes(await worker.miniflare.getInspectorURL(), "registry", request)) / 1e6;
    },
    /** What the cron trigger would do now. */
    runCron: () => worker.runCron(),
    async stop() {
      await worker.stop();
      if (state === undefined) rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** One answer as composer gets it; `credential` as {@link get} takes it. */
export async function composerGet(registry, path, credential) {
  const headers = { authorization: basic(credential), "user-agent": "Composer/2.8.1", host: "registry.test" };
  const answer = await fetch(registry.url + path, { headers });
  const text = await answer.text();
  if (!answer.ok) throw new Stop(`${path} answered ${answer.status}: ${text}`);
  return { text, date: answer.headers.get("last-modified") };
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
 * Puts `number` tokens that see everything into the database, without asking the registry, which then knows none of
 * them.
 */
export async function insertTokens(registry, number) {
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
        `INSERT INTO grants (token_id, target)
         SELECT t.id, '*' FROM json_each(?1) r JOIN tokens t ON t.uid = r.value ->> 'uid'`,
      )
      .bind(JSON.stringify(rows));
    await registry.database.batch([insertToken, insertGrants]);
  }
  return tokens;
}

/**
 * Puts `number` consumers with key pairs into the database, as `{ user, token }`, the one at `n` with the grants
 * `grantsOf(n)` (`{ target, version_constraint, updates_until }`), without asking the registry, which then knows none of
 * them. Their private keys are not sealed, so that the storefront cannot show them.
 */
export async function insertConsumers(registry, number, grantsOf) {
  const first = (await registry.count("SELECT coalesce(max(id), 0) FROM consumers")) + 1;
  const consumers = Array.from({ length: number }, (_, at) => {
    const [user, token] = [randomBytes(24).toString("hex"), randomBytes(24).toString("hex")];
    const hash = createHash("sha256").update(`consumer:${user}:${token}`).digest("hex");
    return { id: first + at, uid: hash.slice(0, 32), hash, user, token, grants: grantsOf(at) };
  });
  const statements = [
    `INSERT INTO consumers (id, uid, organization_id, email, public_key, private_key, created_at, updated_at)
     SELECT value ->> 'id', value ->> 'uid', 1, value ->> 'id' || '@example.com', value ->> 'user', '', 0, 0
       FROM json_each(?1)`,
    `INSERT INTO tokens (uid, organization_id, hash, description, scopes, rate_limit_max, metadata, created_at, consumer_id)
     SELECT value ->> 'uid', 1, value ->> 'hash', 'bench', '["packages:read"]', ${UNLIMITED}, '{}', 0, value ->> 'id'
       FROM json_each(?1)`,
    `INSERT INTO grants (consumer_id, target, version_constraint, updates_until)
     SELECT c.value ->> 'id', g.value ->> 'target', g.value ->> 'version_constraint', g.value ->> 'updates_until'
       FROM json_each(?1) c, json_each(c.value -> 'grants') g`,
  ];
  for (let at = 0; at < number; at += 500) {
    const rows = JSON.stringify(consumers.slice(at, at + 500));
    await registry.database.batch(statements.map((sql) => registry.database.prepare(sql).bind(rows)));
  }
  const given = "UPDATE sequences SET last = max(last, ?) WHERE name = 'consumers'";
  await registry.database.prepare(given).bind(first + number).run();
  return consumers;
}

const BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** A token in the registry's form, which nobody was issued: `rst_`, 40 random characters, and their CRC-32 in 6. */
export function plainToken() {
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

/** No sync may take longer: 5 min. */
const SYNC_TIMEOUT = 5 * 60_000;

/** And no building of archives: 20 min. */
const BUILD_TIMEOUT = 20 * 60_000;

/** Registers the repository at `url` and waits until it is synced and each of its tags has its zip. Its uid. */
export async function register(registry, url) {
  const { id } = await registry.admin("/api/repositories", { url });
  await synced(registry, id);
  await archived(registry);
  return id;
}

/** Waits until each tag of each repository has its zip. */
export async function archived(registry) {
  // Prepared once: Miniflare blocks this process while it prepares, and gives up for good when a connection closes then.
  const unbuilt = registry.database.prepare(
    `SELECT count(*) AS unbuilt FROM dists d JOIN versions v ON v.id = d.version_id
      WHERE v.ref_name LIKE 'refs/tags/%' AND d.artifact_sha256 IS NULL AND d.error IS NULL`,
  );
  await until("the archives", async () => (await unbuilt.first()).unbuilt === 0, BUILD_TIMEOUT);
}

/** Waits for the end of a repository's latest sync; its row. The registry itself is not asked. */
export async function synced(registry, id, runs = 1) {
  const latest = registry.database
    .prepare(
      `SELECT s.*, count(*) OVER () AS runs FROM sync_runs s JOIN repositories r ON r.id = s.repository_id
        WHERE r.uid = ? ORDER BY s.id DESC LIMIT 1`,
    )
    .bind(id);
  const row = await until("the sync", async () => {
    const run = await latest.first();
    return run !== null && run.runs >= runs && run.finished_at !== null && run;
  });
  if (row.error !== null) throw new Stop(`The sync failed: ${row.error}`);
  return row;
}

/**
 * Asks `done` until it has an answer. A query to the local database whose connection was closed is asked again: Miniflare
 * keeps connections that the runtime may close at the same moment, which in minutes of asking happens.
 */
export async function until(what, done, timeout = SYNC_TIMEOUT) {
  for (const end = Date.now() + timeout; Date.now() < end; ) {
    const answer = await done().catch((error) => {
      if (error.cause?.message !== "other side closed") throw error;
    });
    if (answer) return answer;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Stop(`Waited for ${what} in vain.`);
}

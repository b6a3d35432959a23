// The built registry in workerd, with a database, buckets and queues of its own that vanish at the end.

import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startWorker } from "../../../scripts/lib/local.mjs";
import { build } from "../../../scripts/lib/paths.mjs";

export const ADMIN_TOKEN = "e2e-administrator-token";
const OPERATOR = { authorization: `Bearer ${ADMIN_TOKEN}`, connection: "close" };
export const ENCRYPTION_KEY = Buffer.alloc(32, 7).toString("base64");

/** No request of a test may take longer. */
const TIMEOUT = 30_000;

/**
 * Starts a registry with empty state. `bindings` adds to or replaces its variables and secrets, `options` is added to
 * Miniflare's. The result's `logs` holds what the Worker wrote to its console, `{ level, message }` each. One `withMovedClock`
 * has a clock that `moveClock` moves.
 */
export async function startRegistry({ bindings = {}, options, withMovedClock = false } = {}) {
  const state = mkdtempSync(join(tmpdir(), "rostrum-e2e-"));
  const logs = [];
  let runtime;
  const start = (port, changed) =>
    startWorker({
      state,
      port,
      options,
      modules: withMovedClock ? [movedClock()] : [],
      bindings: { ADMIN_TOKEN, ENCRYPTION_KEY, ...bindings, ...changed },
      onLog: ({ level, message }) => logs.push({ level, message }),
      onRuntime: (child) => (runtime = child),
    });
  let worker = await start(0);
  const request = (path, options = {}) =>
    fetch(new URL(path, worker.url), { redirect: "manual", signal: AbortSignal.timeout(TIMEOUT), ...options });
  return {
    logs,
    /** Where it listens, without a trailing slash; the same after a restart. */
    get url() {
      return worker.url;
    },
    /** A request of nobody in particular; redirects are shown, not followed. */
    request,
    /**
     * A request of the operator; an object as `json` is sent as such. Each has a connection of its own: a test that has
     * kept this process busy for seconds would send the next one into a connection that the runtime has closed.
     */
    admin(path, { json, headers, ...options } = {}) {
      const sent = json === undefined ? {} : { body: JSON.stringify(json), method: "POST" };
      const type = json === undefined ? {} : { "content-type": "application/json" };
      return request(path, { ...sent, ...options, headers: { ...OPERATOR, ...type, ...headers } });
    },
    /** The database it uses, as D1 shows it to a Worker. */
    database: () => worker.database(),
    /** What the cron trigger would do now. */
    runCron: () => worker.runCron(),
    /** Has its clock run so many seconds ahead of this machine's; a restart puts it back. The moment that it is there, in ms. */
    async moveClock(seconds) {
      return Number(await (await request(`/moved-clock?seconds=${seconds}`)).text());
    },
    /** Kills its runtime with SIGKILL, whatever that is at; `restart` starts it again. For a test that has one registry. */
    async kill() {
      const ended = once(runtime, "close");
      runtime.kill("SIGKILL");
      await ended;
    },
    /** Stops it and starts it again on the same port with the same state; `bindings` are changed for this run of it. */
    async restart({ bindings: changed } = {}) {
      const { port } = new URL(worker.url);
      await worker.stop();
      worker = await start(Number(port), changed);
    },
    /** Stops it and removes its state. */
    async stop() {
      await worker.stop();
      rmSync(state, { recursive: true, force: true });
    },
  };
}

/** The module that stands before the registry's own and moves its clock. */
function movedClock() {
  const contents = readFileSync(new URL("moved-clock.js", import.meta.url), "utf8");
  return { type: "ESModule", path: join(build, "moved-clock.js"), contents };
}

/** Issues a token; `fields` as the API takes them. */
export async function issueToken(registry, fields = {}) {
  const answer = await registry.admin("/api/tokens", { json: { description: "A test", ...fields } });
  if (answer.status !== 201) throw new Error(`issuing a token: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

/** No sync of a test may take longer, unless the test says so. */
const SYNC_TIMEOUT = 30_000;

/** Registers a repository and waits for its first sync and for its archives; the repository as it is then. */
export async function register(registry, fields, options) {
  return waitForSync(registry, (await registerOnly(registry, fields)).id, options);
}

/** Registers a repository and waits for nothing; the repository as the answer shows it. */
export async function registerOnly(registry, fields) {
  const answer = await registry.admin("/api/repositories", { json: fields });
  if (answer.status !== 201) throw new Error(`registering ${fields.url}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

/** Asks for another sync of the repository at `url`, and waits for it and for its archives. */
export async function syncAgain(registry, url, options) {
  const repositories = await (await registry.admin("/api/repositories?limit=1000")).json();
  const { id } = repositories.find((repository) => repository.url === url);
  await requestSync(registry, id);
  return waitForSync(registry, id, options);
}

/** Asks for another sync and waits for nothing. */
export async function requestSync(registry, id) {
  const answer = await registry.admin(`/api/repositories/${id}/sync`, { method: "POST" });
  if (answer.status !== 200) throw new Error(`syncing ${id}: ${answer.status} ${await answer.text()}`);
}

/** Waits until a repository is neither pending nor syncing, and each of its tags has an archive; the repository. */
export async function waitForSync(registry, id, { timeout = SYNC_TIMEOUT } = {}) {
  return until(`repository ${id} settles`, timeout, async () => {
    const repository = await (await registry.admin(`/api/repositories/${id}`)).json();
    const done = repository.sync_status === "failed" || (repository.sync_status === "ok" && (await hasArchives(registry, id)));
    return done && repository;
  });
}

/** Asks again and again for something true, and returns it. */
export async function until(what, timeout, probe) {
  for (const end = Date.now() + timeout; Date.now() < end; ) {
    const answer = await probe();
    if (answer) return answer;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`waited ${timeout} ms in vain until ${what}`);
}

async function hasArchives(registry, id) {
  const versions = await versionsOf(registry, id);
  const tags = versions.filter((version) => !/^dev-|-dev$/.test(version.version));
  return tags.every((version) => version.shasum !== null || version.dist_error !== null);
}

/** All versions that the repository `id` publishes. */
export async function versionsOf(registry, id) {
  const packages = await (await registry.admin(`/api/packages?repo_id=${id}`)).json();
  const details = await Promise.all(packages.map(async (entry) => (await registry.admin(`/api/packages/${entry.id}`)).json()));
  return details.flatMap((entry) => entry.versions);
}

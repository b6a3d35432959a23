// The built registry in workerd, with a database, buckets and queues of its own that vanish at the end.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startWorker } from "../../../scripts/lib/local.mjs";

export const ADMIN_TOKEN = "e2e-admin-token";
const ENCRYPTION_KEY = Buffer.alloc(32, 7).toString("base64");

/** No request of a test may take longer. */
const PATIENCE = 30_000;

/**
 * Starts a registry with empty state. `bindings` adds to or replaces its variables and secrets.
 * The result's `logs` holds what the Worker wrote to its console, `{ level, message }` each.
 */
export async function startRegistry({ bindings = {} } = {}) {
  const state = mkdtempSync(join(tmpdir(), "rostrum-e2e-"));
  const logs = [];
  const start = (port) =>
    startWorker({
      state,
      port,
      bindings: { ADMIN_TOKEN, ENCRYPTION_KEY, ...bindings },
      onLog: ({ level, message }) => logs.push({ level, message }),
    });
  let worker = await start(0);
  const request = (path, options = {}) =>
    fetch(new URL(path, worker.url), { redirect: "manual", signal: AbortSignal.timeout(PATIENCE), ...options });
  return {
    logs,
    /** Where it listens, without a trailing slash; the same after a restart. */
    get url() {
      return worker.url;
    },
    /** A request of nobody in particular; redirects are shown, not followed. */
    request,
    /** A request of the operator; an object as `json` is sent as such. */
    admin(path, { json, headers, ...options } = {}) {
      const sent = json === undefined ? {} : { body: JSON.stringify(json), method: "POST" };
      const type = json === undefined ? {} : { "content-type": "application/json" };
      return request(path, { ...sent, ...options, headers: { authorization: `Bearer ${ADMIN_TOKEN}`, ...type, ...headers } });
    },
    /** What the cron trigger would do now. */
    runCron: () => worker.runCron(),
    /** Stops it and starts it again on the same port with the same state. */
    async restart() {
      const { port } = new URL(worker.url);
      await worker.stop();
      worker = await start(Number(port));
    },
    /** Stops it and removes its state. */
    async stop() {
      await worker.stop();
      rmSync(state, { recursive: true, force: true });
    },
  };
}

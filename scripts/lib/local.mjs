// The built Worker on this machine, in workerd: used by `npm start` and by the end-to-end tests.
//
// What the Worker is bound to is read from wrangler.toml, and state lies where wrangler looks for it, so that
// `npx wrangler d1 execute DB --local --persist-to STATE …` sees the same database.
//
// The runtime is newer than the one that Miniflare was made with (`overrides` in package.json): the garbage collector of workerd
// 1.20260426.1 never came to an end of its sweep when an upload of some megabytes hit it at a certain moment, and the runtime
// answered nothing any more. Newer releases of Miniflare and wrangler need Node 22.

import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { existsSync, mkdirSync, readFileSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { build, migrations, root } from "./paths.mjs";
import { Stop } from "./say.mjs";

const CRON = "* * * * *";

/** The name of the worker that serves the static assets. */
const ASSETS = "assets";

// No server of this process ends a connection because nothing has come for a while. Miniflare's queue tells each batch to
// a server of Miniflare's; after a job of more than five seconds Node has just ended the connection, the queue fails to
// write, and hands out nothing more until it is started anew.
subscribe("http.server.request.start", ({ server }) => {
  server.keepAliveTimeout = 0;
});

/**
 * Starts the Worker on 127.0.0.1. `state` is the folder that keeps its data; `bindings` are variables and secrets;
 * `port` 0 takes a free one; `onLog({ level, message })` receives what the Worker writes to its console. `modules`
 * are put before the Worker's own, `options` is added to Miniflare's for it, and the workers `beside` run in the same
 * process. `onEnd(how)` is called when the runtime ends without having been stopped, `onRuntime(child)` with its process as
 * soon as that runs; they are for a process that starts one Worker at a time. `migrate(database)` brings the database up to
 * date. `inspectorPort` is where the runtime's inspector listens, if it is to; 0 takes a free one. Returns
 * `{ url, migrated, miniflare, database(), runCron(), stop() }`; `database()` is the D1 database that the Worker uses.
 */
export async function startWorker({
  state,
  bindings,
  port = 0,
  onLog = () => {},
  onEnd,
  onRuntime,
  migrate = applyMigrations,
  inspectorPort,
  modules = [],
  options = {},
  beside = [],
}) {
  // Imported late: these are packages that may have been installed a moment ago.
  const { Miniflare } = await import("miniflare");
  const { unstable_getMiniflareWorkerOptions: optionsFrom } = await import("wrangler");
  // Naming a file that is not there keeps wrangler from reading .dev.vars: the caller says what is bound.
  const { workerOptions } = optionsFrom(join(root, "wrangler.toml"), undefined, { envFiles: ["absent.env"] });
  const folder = (name) => join(state, "v3", name);
  mkdirSync(state, { recursive: true });
  // Rate Limiting counts a place's requests together: here there is one isolate, which counts by itself.
  const { assets, ratelimits: _, ...ownOptions } = workerOptions;
  const worker = {
    ...ownOptions,
    serviceBindings: { ...ownOptions.serviceBindings, [assets.binding]: ASSETS },
    bindings: { ...ownOptions.bindings, ALLOW_PRIVATE_UPSTREAMS: "true", ...bindings },
    modules: [
      ...modules,
      { type: "ESModule", path: join(build, "index.js"), contents: readFileSync(join(build, "index.js"), "utf8") },
      { type: "CompiledWasm", path: join(build, "index_bg.wasm"), contents: readFileSync(join(build, "index_bg.wasm")) },
    ],
    modulesRoot: build,
    modulesRules: undefined,
    ...options,
  };
  let running = false;
  if (onRuntime !== undefined) whenRuntimeStarts(onRuntime);
  if (onEnd !== undefined) whenRuntimeStarts((child) => whenEnded(child, (how) => running && onEnd(how)));
  const miniflare = new Miniflare({
    workers: [worker, assetsWorker(assets), ...beside],
    host: "127.0.0.1",
    port,
    inspectorPort,
    cf: false,
    d1Persist: folder("d1"),
    kvPersist: folder("kv"),
    r2Persist: folder("r2"),
    cachePersist: folder("cache"),
    structuredWorkerdLogs: true,
    handleStructuredLogs: (line) => void onLog(line),
  });
  try {
    const url = (await miniflare.ready).origin;
    const migrated = await migrate(await miniflare.getD1Database("DB"));
    running = true;
    return {
      url,
      migrated,
      miniflare,
      database: () => miniflare.getD1Database("DB"),
      async runCron() {
        await (await miniflare.getWorker()).scheduled({ cron: CRON, scheduledTime: new Date() });
      },
      async stop() {
        running = false;
        await miniflare.dispose();
      },
    };
  } catch (error) {
    await miniflare.dispose();
    throw error;
  }
}

/** Calls `then(child)` with the process of the runtime that is started next. */
function whenRuntimeStarts(then) {
  const watch = ({ process: child }) =>
    // Only when it runs is it known what a process runs.
    child.once("spawn", () => {
      if (!basename(child.spawnfile).startsWith("workerd")) return;
      unsubscribe("child_process", watch);
      then(child);
    });
  subscribe("child_process", watch);
}

/** Calls `then(how)` when the process `child` has ended: with which exit code, or by which signal. */
function whenEnded(child, then) {
  child.once("close", (code, signal) => then(signal === null ? `exit code ${code}` : `signal ${signal}`));
}

/**
 * The static assets, in a worker of their own: were they the registry's, Miniflare would lead every request through
 * two more workers before it, which costs a third of the rate.
 */
function assetsWorker({ directory, assetConfig }) {
  return {
    name: ASSETS,
    modules: [{ type: "ESModule", path: "assets.mjs", contents: "export default {};" }],
    assets: { directory, assetConfig, routerConfig: { has_user_worker: false } },
  };
}

/**
 * Applies the migrations that the database has not seen, up to the one that is called `last`, each in one transaction, and
 * returns their names.
 */
export async function applyMigrations(database, last = undefined) {
  const { unstable_splitSqlQuery: split } = await import("wrangler");
  // The table wrangler keeps its own record in.
  await database
    .prepare(
      "CREATE TABLE IF NOT EXISTS d1_migrations (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE," +
        " applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL)",
    )
    .run();
  const { results } = await database.prepare("SELECT name FROM d1_migrations").all();
  const seen = new Set(results.map((row) => row.name));
  const files = existsSync(migrations) ? readdirSync(migrations).filter((name) => name.endsWith(".sql")).sort() : [];
  const due = files.filter((name) => !seen.has(name) && (last === undefined || name <= last));
  for (const name of due) {
    const statements = split(readFileSync(join(migrations, name), "utf8")).filter((text) => text !== "");
    const record = database.prepare("INSERT INTO d1_migrations (name) VALUES (?)").bind(name);
    try {
      await database.batch([...statements.map((text) => database.prepare(text)), record]);
    } catch (error) {
      throw new Stop(`The migration ${name} failed: ${error.message}`);
    }
  }
  return due;
}

// The built Worker on this machine, in workerd: used by `npm start` and by the end-to-end tests.
//
// What the Worker is bound to is read from wrangler.toml, and state lies where wrangler looks for it, so that
// `npx wrangler d1 execute DB --local --persist-to STATE …` sees the same database.

import { existsSync, mkdirSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { build, migrations, root } from "./paths.mjs";
import { Stop } from "./say.mjs";

const CRON = "* * * * *";

/** The name of the worker that serves the static assets. */
const ASSETS = "assets";

/**
 * Starts the Worker on 127.0.0.1. `state` is the folder that keeps its data; `bindings` are variables and secrets;
 * `port` 0 takes a free one; `onLog({ level, message })` receives what the Worker writes to its console. `modules`
 * are put before the Worker's own, `options` is added to Miniflare's for it, and the workers `beside` run in the same
 * process. Returns `{ url, migrated, miniflare, database(), runCron(), stop() }`; `database()` is the D1 database that
 * the Worker uses.
 */
export async function startWorker({
  state,
  bindings,
  port = 0,
  onLog = () => {},
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
  const { assets, ...ownOptions } = workerOptions;
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
  const miniflare = new Miniflare({
    workers: [worker, assetsWorker(assets), ...beside],
    host: "127.0.0.1",
    port,
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
    const migrated = await applyMigrations(await miniflare.getD1Database("DB"));
    return {
      url,
      migrated,
      miniflare,
      database: () => miniflare.getD1Database("DB"),
      async runCron() {
        await (await miniflare.getWorker()).scheduled({ cron: CRON, scheduledTime: new Date() });
      },
      stop: () => miniflare.dispose(),
    };
  } catch (error) {
    await miniflare.dispose();
    throw error;
  }
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

/** Applies the migrations that the database has not seen, each in one transaction, and returns their names. */
async function applyMigrations(database) {
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
  const due = files.filter((name) => !seen.has(name));
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

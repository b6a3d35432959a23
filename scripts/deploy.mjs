// `npm run deploy`: builds the Worker and puts it into the Cloudflare account that wrangler is logged in to.
//
// Everything it needs there is made on the first deploy. The order matters: the database has its new tables before
// the code that uses them runs. wrangler runs remote migrations only with the database's id in its configuration,
// so a copy of wrangler.toml with that id is used and removed again.
//
// Before it migrates it prints the bookmark of the database as it is, to which `wrangler d1 time-travel restore` goes back.
//
// From 4.113 on wrangler creates queues and finds databases by itself; it needs Node 22, so `ensureQueue` and
// `CONFIG_WITH_ID` stay as long as Node 20 is supported (CONTRIBUTING.md).
//
// WRANGLER_BIN names another wrangler than the one that is installed.
//
// Secrets: ADMIN_TOKEN and ENCRYPTION_KEY, set with `npx wrangler secret put NAME`, or taken from the environment
// when the Worker lacks them. `npm run deploy -- --dry-run` only packs the Worker.

import { rmSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ensurePackages } from "./lib/npm.mjs";
import { npmBin, root } from "./lib/paths.mjs";
import { attempt, run } from "./lib/run.mjs";
import { Stop, main, say, step } from "./lib/say.mjs";
import { requireLongAdminToken } from "./lib/secrets.mjs";
import { buildWorker } from "./lib/worker.mjs";

const SECRETS = ["ADMIN_TOKEN", "ENCRYPTION_KEY"];
const WRANGLER = process.env.WRANGLER_BIN || npmBin("wrangler");
const CONFIG = join(root, "wrangler.toml");
const CONFIG_WITH_ID = join(root, ".wrangler-deploy.toml");
const SECRETS_FILE = join(root, ".wrangler-deploy-secrets.json");

/** Where zips lie that are being received (src/registry/sources/incoming_zip.rs). */
const INCOMING = "incoming/";

/** Without a person at the keyboard wrangler creates what is missing instead of asking. */
const env = { ...process.env, CI: "true", WRANGLER_SEND_METRICS: "false", WRANGLER_HIDE_BANNER: "true" };

await main(async () => {
  await ensurePackages();
  await buildWorker();
  if (process.argv.includes("--dry-run")) return run(WRANGLER, ["deploy", "--dry-run"], { env, show: true });
  await requireLogin();
  const secrets = await missingSecrets();
  try {
    const config = readFileSync(CONFIG, "utf8");
    for (const name of queues(config)) await ensureQueue(name);
    await migrate(config);
    await upload(secrets);
    await forgetIncoming(value(config, "bucket_name"));
  } finally {
    rmSync(CONFIG_WITH_ID, { force: true });
    rmSync(SECRETS_FILE, { force: true });
  }
});

async function requireLogin() {
  const { code, stdout } = await attempt(WRANGLER, ["whoami", "--json"], { env });
  if (code === 0 && !stdout.includes('"loggedIn": false')) return;
  throw new Stop("wrangler is not logged in: run `npx wrangler login`, or set CLOUDFLARE_API_TOKEN, and deploy again.");
}

/** The secrets the Worker lacks, from the environment; stops if they are not there either. */
async function missingSecrets() {
  const { code, stdout, stderr } = await attempt(WRANGLER, ["secret", "list", "--format", "json"], { env });
  if (code !== 0 && !/not found/i.test(stdout + stderr)) fail("List the secrets", stdout + stderr);
  const set = code === 0 ? JSON.parse(stdout).map((secret) => secret.name) : [];
  const missing = SECRETS.filter((name) => !set.includes(name));
  const absent = missing.filter((name) => !process.env[name]);
  if (absent.length > 0) {
    const commands = absent.map((name) => `\`npx wrangler secret put ${name}\``).join(" and ");
    throw new Stop(`The Worker has no ${absent.join(" and no ")}: run ${commands}, or set them in the environment, and deploy again.`);
  }
  if (missing.includes("ADMIN_TOKEN")) requireLongAdminToken(process.env.ADMIN_TOKEN);
  return Object.fromEntries(missing.map((name) => [name, process.env[name]]));
}

async function ensureQueue(name) {
  const { code, stdout, stderr } = await attempt(WRANGLER, ["queues", "info", name], { env });
  if (code === 0) return;
  if (!/does not exist/i.test(stdout + stderr)) fail(`Look for the queue ${name}`, stdout + stderr);
  await step(`Creating the queue ${name}`, () => run(WRANGLER, ["queues", "create", name], { env }));
}

/** Creates the database if need be and brings its tables up to date. */
async function migrate(config) {
  const name = value(config, "database_name");
  let id = await databaseId(name);
  if (id === undefined) {
    await step(`Creating the database ${name}`, () => run(WRANGLER, ["d1", "create", name], { env }));
    id = await databaseId(name);
  }
  if (id === undefined) throw new Stop(`The database ${name} was created but is not listed: deploy again in a minute.`);
  const line = `database_name = "${name}"`;
  writeFileSync(CONFIG_WITH_ID, config.replace(line, `${line}\ndatabase_id = "${id}"`));
  await printBookmark(name);
  await step("Applying migrations", () =>
    run(WRANGLER, ["d1", "migrations", "apply", name, "--remote", "--config", CONFIG_WITH_ID], { env, show: true }),
  );
}

/** Says how to go back to what the database holds now. */
async function printBookmark(name) {
  const { code, stdout, stderr } = await attempt(WRANGLER, ["d1", "time-travel", "info", name, "--json", "--config", CONFIG_WITH_ID], { env });
  const bookmark = code === 0 ? /"bookmark": *"([^"]+)"/.exec(stdout)?.[1] : undefined;
  if (bookmark === undefined) fail("Ask for the database's bookmark", stdout + stderr);
  say(`The database as it is now: npx wrangler d1 time-travel restore ${name} --bookmark=${bookmark}`);
}

async function databaseId(name) {
  const { stdout } = await run(WRANGLER, ["d1", "list", "--json"], { env });
  return JSON.parse(stdout).find((database) => database.name === name)?.uuid;
}

async function upload(secrets) {
  const named = Object.keys(secrets);
  if (named.length > 0) writeFileSync(SECRETS_FILE, JSON.stringify(secrets), { mode: 0o600 });
  if (named.length > 0) say(`Setting ${named.join(" and ")} from the environment`);
  const options = named.length > 0 ? ["--secrets-file", SECRETS_FILE] : [];
  await run(WRANGLER, ["deploy", "--config", CONFIG_WITH_ID, ...options], { env, show: true });
}

/**
 * Has R2 remove after a day what still lies below incoming/: zips of which a Worker was cut off between receiving and
 * publishing them. Those that are published have other names.
 */
async function forgetIncoming(bucket) {
  const { code, stdout, stderr } = await attempt(WRANGLER, ["r2", "bucket", "lifecycle", "list", bucket], { env });
  if (code !== 0) fail(`Look for the lifecycle rules of the bucket ${bucket}`, stdout + stderr);
  if (stdout.includes(INCOMING)) return;
  const rule = ["r2", "bucket", "lifecycle", "add", bucket, "incoming", INCOMING, "--expire-days", "1", "--force"];
  await step(`Having the bucket ${bucket} forget what was never published`, () => run(WRANGLER, rule, { env }));
}

/** The first value of `key` in wrangler.toml, which is ours and simple. */
function value(config, key) {
  return new RegExp(`^${key} = "([^"]+)"`, "m").exec(config)[1];
}

/** The names of the queues in wrangler.toml. */
function queues(config) {
  return [...new Set(Array.from(config.matchAll(/^queue = "([^"]+)"/gm), ([, name]) => name))];
}

function fail(what, output) {
  process.stderr.write(output);
  throw new Stop(`${what}: wrangler could not; its own words are above.`);
}

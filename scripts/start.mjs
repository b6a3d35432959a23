// `npm start`: sets up what is missing, builds the Worker and runs the registry on this machine until Ctrl-C.
//
// Environment: PORT (8787), STATE_DIR (.wrangler/state), PUBLIC_URL and TRUST_PROXY (for a proxy in front of it), ADMIN_TOKEN
// and ENCRYPTION_KEY (else from .dev.vars).

import { createServer } from "node:net";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { root } from "./lib/paths.mjs";
import { ensurePackages } from "./lib/npm.mjs";
import { Stop, main, say } from "./lib/say.mjs";
import { localSecrets } from "./lib/secrets.mjs";
import { startWorker } from "./lib/local.mjs";
import { buildWorker } from "./lib/worker.mjs";

const MINUTE = 60_000;

/** How long /health may go on saying what was true before the migrations: it looks again after 10 s. */
const HEALTH_PATIENCE = 15_000;

await main(async () => {
  const port = portNumber(process.env.PORT || "8787");
  await requireFree(port);
  await ensurePackages();
  await buildWorker();
  const bindings = { ...localSecrets(), ...addressOfProxy() };
  const state = process.env.STATE_DIR ? resolve(process.env.STATE_DIR) : join(root, ".wrangler/state");
  say("Starting the registry …");
  const registry = await startWorker({ state, bindings, port, onLog: log, onEnd: giveUp });
  let stopping = false;
  const stop = async () => {
    if (stopping) return;
    stopping = true;
    say("Stopping …");
    clearInterval(cron);
    await registry.stop();
    process.exit(0);
  };
  // The runtime fires no cron trigger on this machine, so this process does.
  const tick = () => registry.runCron().catch((error) => log({ level: "error", message: `cron: ${error.message}` }));
  const cron = setInterval(tick, MINUTE);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.prependListener(signal, stop);
  stopWithNpm(stop);
  if (registry.migrated.length > 0) say(`Applied migrations: ${registry.migrated.join(", ")}`);
  const health = await settledHealth(registry.url);
  if (!health.ok) {
    await registry.stop();
    throw new Stop(`The registry cannot serve: /health says ${health.status}, ${await health.text()}.`);
  }
  greet(bindings.PUBLIC_URL || registry.url, bindings.ADMIN_TOKEN);
});

/**
 * What /health says once it is well. Whoever asked while the migrations were still applied has made the registry believe
 * for some seconds that there are none.
 */
async function settledHealth(url) {
  const end = Date.now() + HEALTH_PATIENCE;
  for (;;) {
    const health = await fetch(`${url}/health`);
    if (health.ok || Date.now() >= end) return health;
    await health.text();
    await sleep(250);
  }
}

/** Without its runtime the registry answers nobody, and nothing here would start it again. */
function giveUp(how) {
  console.error(`✗ The registry has ended: its runtime, workerd, ended by itself with ${how}. What it said last is above.`);
  process.exit(1);
}

/** npm does not pass SIGTERM on to us, its shell's child; but we notice when that shell is gone. */
function stopWithNpm(stop) {
  if (process.env.npm_lifecycle_event === undefined) return;
  const shell = process.ppid;
  setInterval(() => process.ppid !== shell && stop(), 500).unref();
}

/** How a proxy in front of the registry is asked, as far as the environment says. */
function addressOfProxy() {
  const { PUBLIC_URL, TRUST_PROXY } = process.env;
  if (PUBLIC_URL && !/^https?:$/.test(URL.canParse(PUBLIC_URL) ? new URL(PUBLIC_URL).protocol : "")) {
    throw new Stop(`PUBLIC_URL is "${PUBLIC_URL}", which is no http or https address.`);
  }
  return { ...(PUBLIC_URL && { PUBLIC_URL }), ...(TRUST_PROXY && { TRUST_PROXY }) };
}

function portNumber(text) {
  const number = Number(text);
  if (Number.isInteger(number) && number > 0 && number < 65_536) return number;
  throw new Stop(`PORT is "${text}", which is no port number.`);
}

/** Stops with one sentence if something else listens on the port. */
function requireFree(port) {
  return new Promise((free, taken) => {
    const probe = createServer();
    probe.once("error", ({ code, message }) => {
      const reason = code === "EADDRINUSE" ? "is in use: stop what listens there" : `cannot be used (${message})`;
      taken(new Stop(`Port ${port} ${reason}, or set PORT to another one.`));
    });
    probe.listen(port, "127.0.0.1", () => probe.close(free));
  });
}

/** A line of the Worker's console. */
function log({ level, message }) {
  const write = level === "error" || level === "warn" ? console.error : console.log;
  write(`${new Date().toISOString().slice(11, 19)} ${level.padEnd(5)} ${message}`);
}

function greet(url, token) {
  const host = new URL(url).host;
  console.log(`
Rostrum is ready on ${url}

Admin token: ${token}

In a PHP project:
  composer config repositories.rostrum composer ${url}
  composer config secure-http false
  composer config http-basic.${host} token ${token}
  composer require vendor/package

Ctrl-C stops it.
`);
}

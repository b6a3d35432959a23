// What can go wrong between the registry and a git host: each failure is told in words, heals with the next sync, and
// never shows a credential to anybody it was not meant for.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { startGitHost } from "./support/git-host.mjs";
import { register, registerOnly, requestSync, startRegistry, syncAgain, until, versionsOf, waitForSync } from "./support/registry.mjs";

/** The host's password; nothing that the registry says or logs may hold it. */
const SECRET = "s3cr3t-of-the-host";
const AUTH = { username: "bot", password: SECRET };
const BASIC = `Basic ${Buffer.from(`bot:${SECRET}`).toString("base64")}`;
/** The registry gives an upstream this long. */
const UPSTREAM_TIMEOUT = 30_000;

let host;
let registry;
/** Everything that the management surface said of repositories. */
const said = [];

/** Another registry, whose only repository is on a host that says nothing: syncs wait in line behind such a one. */
let silent;
let patient;
let waiting;

before(async () => {
  [host, registry, silent, patient] = await Promise.all([
    startGitHost({ auth: AUTH }),
    startRegistry({ bindings: { SYNC_INTERVAL_SECONDS: "1" } }),
    startGitHost(),
    startRegistry(),
  ]);
  library(silent, "silent");
  silent.fail({ kind: "hang" });
  waiting = await registerOnly(patient, { url: silent.urlOf("silent") });
});

after(async () => {
  await Promise.all([registry, patient].map((each) => each?.stop()));
  await Promise.all([host, silent].map((each) => each?.stop()));
});

/** A repository of one package with one tag. */
function library(on, place, name = place) {
  const repository = on.repository(place);
  repository.commit({ "composer.json": JSON.stringify({ name: `acme/${name}` }), "src/A.php": "<?php\n" });
  repository.tag("v1.0.0");
  return repository;
}

const versions = async (repository) => (await versionsOf(registry, repository.id)).map((entry) => entry.version).sort();
const shown = async (id) => (await registry.admin(`/api/repositories/${id}`)).json();

/** Registers the repository `name` of a host that wants credentials, and waits for its first sync. */
async function registerPrivate(name, on = host) {
  const repository = await register(registry, { url: on.urlOf(name), auth_credentials: AUTH });
  said.push(repository);
  return repository;
}

// ------------------------------------------------------------------------------------------------ one fault each

const get = (entry) => entry.method === "GET";
const post = (entry) => entry.method === "POST";

/** The first answer, or the second or third; what goes wrong there; what the repository's owner is told. */
const faults = [
  ["401", get, { kind: "status", status: 401, body: SECRET }, /refuses the credentials \(HTTP 401\)/],
  ["403", get, { kind: "status", status: 403, body: SECRET }, /refuses the credentials \(HTTP 403\)/],
  ["404", get, { kind: "status", status: 404 }, /no repository at this address.*HTTP 404/],
  ["410", get, { kind: "status", status: 410 }, /no repository at this address/],
  ["500", get, { kind: "status", status: 500 }, /answers with HTTP 500/],
  ["429", get, { kind: "status", status: 429 }, /has had too many requests \(HTTP 429\)/],
  ["204", get, { kind: "status", status: 204, body: "" }, /answers with HTTP 204/],
  ["web page", get, { kind: "html" }, /does not answer as a git repository/],
  ["nothing", get, { kind: "status", status: 200, body: "" }, /does not answer as a git repository/],
  ["closed connection", get, { kind: "drop" }, /cannot be reached/],
  ["cut advertisement", get, { kind: "cut", bytes: 60 }, /broke off/],
  ["endless redirect", get, { kind: "redirect", to: "" }, /redirects more than 5 times/],
  ["500 for refs", post, { kind: "status", status: 500, body: SECRET }, /answers with HTTP 500/],
  ["web page for refs", post, { kind: "html" }, /list of refs is not readable/],
  ["cut refs", post, { kind: "cut", bytes: 30 }, /broke off/],
  ["cut pack", "second post", { kind: "cut", bytes: 100 }, /broke off/],
  ["web page for a pack", "second post", { kind: "html" }, /answer is not readable/],
  ["closed connection for a pack", "second post", { kind: "drop" }, /cannot be reached/],
];

describe("a sync that fails says why, and the next one heals", () => {
  for (const [index, [name, where, fault, error]] of faults.entries()) {
    test(name, async () => {
      const repository = `faulty-${index}`;
      library(host, repository);
      let posts = 0;
      const second = (entry) => post(entry) && ++posts >= 2;
      host.fail(fault, { times: Infinity, when: where === "second post" ? second : where });
      const failed = await registerPrivate(repository).finally(host.heal);
      assert.deepEqual([failed.sync_status, failed.last_synced_at], ["failed", null]);
      assert.match(failed.error, error);
      assert.ok(failed.error.length < 300 && !/\n/.test(failed.error), failed.error);
      assert.deepEqual(await versionsOf(registry, failed.id), [], "nothing is half published");
      const healed = await syncAgain(registry, host.urlOf(repository));
      assert.deepEqual([healed.sync_status, healed.error], ["ok", null]);
      assert.deepEqual(await versions(healed), ["dev-main", "v1.0.0"]);
    });
  }
});

test("a failing sync leaves published what was published", async () => {
  const published = library(host, "steady");
  const repository = await registerPrivate("steady");
  published.commit({ "composer.json": JSON.stringify({ name: "acme/steady" }), "src/B.php": "<?php\n" });
  published.tag("v1.1.0");
  host.fail({ kind: "status", status: 404 }, { times: Infinity });
  const failed = await syncAgain(registry, repository.url).finally(host.heal);
  assert.equal(failed.sync_status, "failed");
  assert.notEqual(failed.last_synced_at, null);
  assert.deepEqual(await versions(failed), ["dev-main", "v1.0.0"]);
  assert.equal((await registry.admin("/p2/acme/steady.json")).status, 200);
  assert.equal((await syncAgain(registry, repository.url)).sync_status, "ok");
  assert.deepEqual(await versions(failed), ["dev-main", "v1.0.0", "v1.1.0"]);
});

test("a slow host is waited for", async () => {
  library(host, "slow");
  host.fail({ kind: "slow", delay: 400 }, { times: 3 });
  const repository = await registerPrivate("slow");
  assert.equal(repository.sync_status, "ok", repository.error);
});

test("a host that breaks off once is asked once more", async () => {
  library(host, "flaky");
  host.fail({ kind: "status", status: 503 });
  host.fail({ kind: "drop" }, { when: post });
  const repository = await registerPrivate("flaky");
  assert.equal(repository.sync_status, "ok", repository.error);
});

test("a host without filters is synced too", async () => {
  const plain = await startGitHost({ filters: false });
  try {
    const repository = library(plain, "plain");
    repository.commit({ "composer.json": JSON.stringify({ name: "acme/plain" }), "src/B.php": "<?php\n" }, { branch: "next" });
    const synced = await register(registry, { url: plain.urlOf("plain") });
    assert.equal(synced.sync_status, "ok", synced.error);
    assert.deepEqual(await versions(synced), ["dev-main", "dev-next", "v1.0.0"]);
  } finally {
    await plain.stop();
  }
});

// ------------------------------------------------------------------------------------------------ credentials

test("credentials do not follow a redirect to another host", async () => {
  const [open, closed] = await Promise.all([startGitHost(), startGitHost({ auth: AUTH })]);
  try {
    for (const [name, elsewhere] of [["moved-open", open], ["moved-closed", closed]]) {
      library(host, name);
      library(elsewhere, name);
      host.fail({ kind: "redirect", to: elsewhere.url }, { times: Infinity });
      host.forget();
      const repository = await registerPrivate(name).finally(host.heal);
      assert.ok(host.log.length > 0 && host.log.every((entry) => entry.authorization === BASIC));
      assert.ok(elsewhere.log.length > 0);
      assert.deepEqual(elsewhere.log.filter((entry) => entry.authorization !== null), []);
      const [status, error] = elsewhere === open ? ["ok", /^null$/] : ["failed", /refuses the credentials \(HTTP 401\)/];
      assert.equal(repository.sync_status, status);
      assert.match(String(repository.error), error);
    }
  } finally {
    await Promise.all([open.stop(), closed.stop()]);
  }
});

test("credentials follow a redirect on the same host", async () => {
  library(host, "renamed");
  library(host, "now/renamed", "renamed");
  host.fail({ kind: "redirect", to: `${host.url}/now` });
  host.forget();
  const repository = await registerPrivate("renamed");
  assert.equal(repository.sync_status, "ok", repository.error);
  const places = host.log.map((entry) => entry.path.replace(/\.git\/.*/, ""));
  assert.equal(places[0], "/renamed");
  assert.deepEqual([...new Set(places.slice(1, 3))], ["/now/renamed"]);
});

test("wrong credentials are told from a missing repository", async () => {
  library(host, "locked");
  const wrong = await register(registry, { url: host.urlOf("locked"), auth_credentials: { username: "bot", password: "guess" } });
  assert.match(wrong.error, /refuses the credentials/);
  const absent = await registerPrivate("absent");
  assert.match(absent.error, /no repository at this address/);
});

// ------------------------------------------------------------------------------------------------ when syncs run

test("cron picks up what is due, and only that", async () => {
  const repository = library(host, "clockwork");
  const registered = await registerPrivate("clockwork");
  repository.commit({ "composer.json": JSON.stringify({ name: "acme/clockwork" }), "src/B.php": "<?php\n" });
  repository.tag("v1.1.0");
  await new Promise((resolve) => setTimeout(resolve, 1100));
  await registry.runCron();
  await until("the tag is found", 20_000, async () => (await versions(registered)).includes("v1.1.0"));
  silent.forget();
  await patient.runCron();
  assert.deepEqual(silent.log, [], "the other registry's only repository is being synced");
});

test("a push during a running sync is not lost", async () => {
  const repository = library(host, "busy");
  const { id } = await registerPrivate("busy");
  const push = (tag) => {
    repository.commit({ "composer.json": JSON.stringify({ name: "acme/busy" }), "src/B.php": `<?php // ${tag}\n` });
    repository.tag(tag);
  };
  push("v1.1.0");
  let posts = 0;
  const fetching = (entry) => entry.path.startsWith("/busy.git") && post(entry) && ++posts === 2;
  host.fail({ kind: "slow", delay: 1000 }, { when: fetching });
  await requestSync(registry, id);
  await until("the refs are read and the commits asked for", 10_000, () => posts >= 2);
  assert.equal((await shown(id)).sync_status, "syncing");
  push("v1.2.0");
  await Promise.all([1, 2, 3].map(() => requestSync(registry, id)));
  await until("both tags are there", 20_000, async () => (await versions({ id })).includes("v1.2.0"));
  await waitForSync(registry, id);
  assert.deepEqual(await versions({ id }), ["dev-main", "v1.0.0", "v1.1.0", "v1.2.0"]);
  const { results } = await (await registry.database())
    .prepare("SELECT added FROM sync_runs WHERE repository_id = (SELECT id FROM repositories WHERE uid = ?1) ORDER BY id LIMIT 3")
    .bind(id)
    .all();
  assert.deepEqual(results.map(({ added }) => added), [2, 1, 1], "the running sync was carried through, another followed");
});

test("a sync that was cut off is shown as such and done again when its lease is over", async () => {
  const repository = library(host, "interrupted");
  const { id } = await registerPrivate("interrupted");
  repository.tag("v1.1.0");
  host.fail({ kind: "slow", delay: 5000 }, { when: (entry) => entry.path.startsWith("/interrupted.git") });
  await requestSync(registry, id);
  await until("the sync runs", 10_000, async () => (await shown(id)).sync_status === "syncing");
  await registry.restart();
  host.heal();
  assert.equal((await shown(id)).sync_status, "syncing");
  host.forget();
  const asked = () => host.log.filter((entry) => entry.path.startsWith("/interrupted.git")).length;
  await registry.runCron();
  await requestSync(registry, id);
  // Another repository's sync goes through the same queue behind this one: when it is done, this one was passed over.
  await syncAgain(registry, host.urlOf("busy"));
  assert.equal(asked(), 0, "nobody takes the place of a sync that may still run");
  await (await registry.database()).prepare("UPDATE sync_runs SET lease_until = 1 WHERE finished_at IS NULL").run();
  const cutOff = await shown(id);
  assert.deepEqual([cutOff.sync_status, cutOff.error], ["pending", "The last sync was cut off before it ended. It will be tried again."]);
  await registry.runCron();
  await until("the tag is found", 20_000, async () => (await versions({ id })).includes("v1.1.0"));
  assert.equal((await waitForSync(registry, id)).sync_status, "ok");
});

test("a repository whose message was lost is picked up by cron", async () => {
  library(host, "forgotten");
  const database = await registry.database();
  const { id } = await registerPrivate("forgotten");
  await database.prepare("UPDATE repositories SET request_seq = request_seq + 1 WHERE uid = ?1").bind(id).run();
  assert.equal((await shown(id)).sync_status, "pending");
  await registry.runCron();
  assert.equal((await waitForSync(registry, id)).sync_status, "ok");
});

// ------------------------------------------------------------------------------------------------ and in the end

test("a host that says nothing is given up after half a minute", async () => {
  const failed = await waitForSync(patient, waiting.id, { timeout: UPSTREAM_TIMEOUT + 15_000 });
  assert.deepEqual([failed.sync_status, failed.error], ["failed", "the server did not answer within 30 s"]);
  assert.equal((await syncAgain(patient, waiting.url)).sync_status, "ok");
});

test("only public https addresses are asked when the operator does not allow others", async () => {
  await patient.restart({ bindings: { ALLOW_PRIVATE_UPSTREAMS: "false" } });
  const refused = [
    silent.urlOf("silent"),
    "http://example.com/acme/library.git",
    "https://127.0.0.1/acme/library.git",
    "https://[::1]/acme/library.git",
    "https://10.0.0.1/acme/library.git",
    "https://169.254.169.254/latest/meta-data",
    "https://localhost/acme/library.git",
    "https://2130706433/acme/library.git",
    "ssh://git:word@example.com/acme/library.git",
    "file:///etc/passwd",
    "ftp://example.com/acme/library.git",
  ];
  for (const url of refused) {
    const answer = await patient.admin("/api/repositories", { json: { url } });
    assert.equal(answer.status, 400, url);
    const body = await answer.json();
    assert.deepEqual(Object.keys(body.details), ["url"], url);
  }
  silent.forget();
  const failed = await syncAgain(patient, waiting.url);
  assert.deepEqual([failed.sync_status, failed.error], ["failed", "the address must start with https://"]);
  assert.deepEqual(silent.log, []);
});

test("no credential is in an answer, in the log, or readable in the database", async () => {
  said.push(await (await registry.admin("/api/repositories?limit=1000")).json());
  assert.ok(said.length > faults.length);
  const { results } = await (await registry.database()).prepare("SELECT r.*, s.* FROM repositories r JOIN sync_runs s ON s.repository_id = r.id").all();
  assert.ok(results.some((row) => row.credentials !== null));
  const forms = [SECRET, Buffer.from(SECRET).toString("base64"), BASIC.slice("Basic ".length)];
  for (const [what, text] of Object.entries({ answers: JSON.stringify(said), log: JSON.stringify(registry.logs), database: JSON.stringify(results) })) {
    for (const form of forms) assert.ok(!text.includes(form), `${what} hold ${form}`);
  }
});

test("an upstream's failure is not the registry's", () => {
  assert.deepEqual(registry.logs.filter((line) => line.level === "error"), []);
});

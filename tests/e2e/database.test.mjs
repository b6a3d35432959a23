// The store's SQL on D1. The Rust tests run it on another build of SQLite; here it is shown that the two agree: every
// statement is one that D1 accepts, and those that lean on what SQLite builds differ in do on D1 what they are for.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startGitHost } from "./support/git-host.mjs";
import { issueToken, register, startRegistry, syncAgain, until } from "./support/registry.mjs";
import { statementsIn, statementsOfTheStore } from "./support/statements.mjs";

/** Tags of the large package; more than D1 takes as parameters. */
const TAGS = 120;
/** With this much in each composer.json its metadata is larger than one part of a document. */
const NOTE_BYTES = 15_000;

let host;
let registry;
let database;
let large;

const json = (value) => JSON.stringify(value);
const manifest = (name, extra = {}) => ({ "composer.json": json({ name, ...extra }) });
const note = (index) => `${index}: `.padEnd(NOTE_BYTES - (index % 7), "größe ");

/** The rows of a query. */
const rows = async (sql, ...values) => (await database.prepare(sql).bind(...values).all()).results;
/** The single number that a query yields. */
const number = async (sql, ...values) => Object.values((await rows(sql, ...values))[0])[0];

before(async () => {
  host = await startGitHost();
  registry = await startRegistry();
  database = await registry.database();
  large = host.repository("acme/large");
  large.commits(
    Array.from({ length: TAGS }, (_, index) => ({
      files: { ...manifest("acme/large", { extra: { note: note(index) } }), "README.md": `# Large ${index % 3}\n` },
      tag: `v1.${index}.0`,
    })),
  );
  const repository = await register(registry, { url: host.urlOf("acme/large") });
  assert.equal(repository.sync_status, "ok", repository.error);
});

after(async () => {
  await registry?.stop();
  await host?.stop();
});

/** Has D1 compile a statement without running it. */
const explain = ({ sql, parameters }) => database.prepare(`EXPLAIN ${sql}`).bind(...Array(parameters).fill(null)).all();

test("D1 accepts every statement of the store", async () => {
  const statements = statementsOfTheStore();
  assert.ok(statements.length >= 50, `only ${statements.length} statements were found`);
  const refused = [];
  for (const statement of statements) {
    await explain(statement).catch((error) => refused.push(`${statement.place}: ${error.message}`));
  }
  assert.deepEqual(refused, []);
});

test("no statement of the store binds more parameters than D1 takes", () => {
  assert.deepEqual(statementsOfTheStore().filter((statement) => statement.parameters > 100), []);
});

test("a statement that D1 does not accept would be noticed", async () => {
  const fragment = 'macro_rules! columns { () => {\n "id, \\"uid\\"" }; }\n';
  const read = (call) => statementsIn("sample.rs", fragment + call);
  const [good] = read('Stmt::new(concat!("SELECT ", columns!(), " FROM tokens WHERE id = ?1"), [id.into()])');
  assert.deepEqual(good, { place: "sample.rs:3", sql: 'SELECT id, "uid" FROM tokens WHERE id = ?1', parameters: 1 });
  await explain(good);
  const [bad] = read('Stmt::new("SELECT absent FROM tokens", [])');
  await assert.rejects(explain(bad), /no such column/);
  assert.throws(() => read("Stmt::new(&format!(\"SELECT 1\"), [])"), /known at compile time/);
});

test("a list longer than D1's parameter limit is stored whole", async () => {
  const ofLarge = "FROM versions v JOIN packages p ON p.id = v.package_id WHERE p.name = 'acme/large'";
  assert.equal(await number(`SELECT count(*) ${ofLarge} AND v.removed_at IS NULL`), TAGS + 1);
  assert.equal(await number("SELECT count(*) FROM repository_refs WHERE name LIKE 'refs/tags/%'"), TAGS);
  assert.equal(await number("SELECT count(*) FROM texts"), 3, "texts that versions share are stored once");
  assert.equal(await number("SELECT count(*) FROM version_files"), TAGS + 1);
});

test("a document of more than a megabyte is cut into parts and comes out whole", async () => {
  const parts = await rows("SELECT part, length(CAST(body AS BLOB)) AS bytes FROM documents WHERE stability = 'stable' ORDER BY part");
  assert.ok(parts.length >= 2, json(parts));
  assert.ok(parts.every(({ bytes }) => bytes <= 1_000_000), json(parts));
  const { token } = await issueToken(registry);
  const headers = { authorization: `Bearer ${token}`, "user-agent": "Composer/2.8.0" };
  const document = await (await registry.request("/p2/acme/large.json", { headers })).json();
  const versions = document.packages["acme/large"];
  assert.equal(versions.length, TAGS);
  for (const [place, version] of versions.entries()) {
    assert.equal(version.extra.note, note(TAGS - 1 - place), version.version);
  }
});

test("moments and limits beyond 32 bits are stored as the integers they are", async () => {
  const expires = 253_402_300_799;
  const { id } = await issueToken(registry, { expires_at: expires, rate_limit_max: 1_000_000_000 });
  const [row] = await rows("SELECT expires_at, typeof(expires_at) AS kind, created_at FROM tokens WHERE uid = ?1", id);
  assert.deepEqual([row.expires_at, row.kind], [expires * 1000, "integer"]);
  assert.ok(Math.abs(row.created_at - Date.now()) < 60_000);
  const shown = await (await registry.admin(`/api/tokens/${id}`)).json();
  assert.deepEqual([shown.expires_at, shown.rate_limit_max], [expires, 1_000_000_000]);
  const [run] = await rows("SELECT typeof(finished_at) AS kind, finished_at - started_at AS span FROM sync_runs");
  assert.equal(run.kind, "integer");
  assert.ok(run.span >= 0 && run.span < 60_000);
});

test("a batch whose guard objects writes nothing", async () => {
  const tables = ["packages", "versions", "version_files", "texts", "dists", "documents", "repository_refs"];
  const counts = () => Promise.all(tables.map((table) => number(`SELECT count(*) FROM ${table}`)));
  const revision = () => number("SELECT revision FROM organizations WHERE id = 1");
  const before = { counts: await counts(), revision: await revision() };
  host.repository("copycat").commit({ ...manifest("acme/large"), "README.md": "# Not the real one\n" });
  const repository = await register(registry, { url: host.urlOf("copycat") });
  assert.equal(repository.sync_status, "failed");
  assert.equal(repository.error, "the package acme/large is published by another repository already; remove that one first, or delete the package if it was renamed there");
  assert.deepEqual({ counts: await counts(), revision: await revision() }, before);
});

test("claiming answers with what is stored, and finishing tells whether a sync was asked for meanwhile", async () => {
  const [run] = await rows("SELECT * FROM sync_runs WHERE repository_id = 1 ORDER BY id LIMIT 1");
  assert.equal(run.outcome, "ok");
  assert.equal(run.added, TAGS + 1);
  assert.equal(run.failures, 0);
  const failed = await rows("SELECT failures FROM sync_runs WHERE repository_id = 2 ORDER BY id");
  await syncAgain(registry, host.urlOf("copycat"));
  const again = await rows("SELECT failures FROM sync_runs WHERE repository_id = 2 ORDER BY id");
  assert.deepEqual([failed, again], [[{ failures: 0 }], [{ failures: 0 }, { failures: 1 }]]);
});

test("a version that moves keeps its row", async () => {
  const main = () => rows("SELECT id, uid, reference, is_default_branch, removed_at FROM versions WHERE normalized = 'dev-main'");
  const [before] = await main();
  const moved = large.commit(manifest("acme/large", { description: "Moved" }));
  await syncAgain(registry, host.urlOf("acme/large"));
  assert.deepEqual(await main(), [{ ...before, reference: moved }]);
  assert.equal(await number("SELECT count(*) FROM dists WHERE version_id = ?1", before.id), 2, "the old commit stays known");
});

test("a version that vanishes and comes back keeps its row", async () => {
  const state = () => rows("SELECT id, removed_at IS NULL AS live FROM versions WHERE normalized = '1.7.0.0'");
  const [{ id }] = await state();
  const commit = large.git(["rev-parse", "v1.7.0"]);
  large.removeRef("refs/tags/v1.7.0");
  await syncAgain(registry, host.urlOf("acme/large"));
  assert.deepEqual(await state(), [{ id, live: 0 }]);
  large.tag("v1.7.0", { at: commit });
  await syncAgain(registry, host.urlOf("acme/large"));
  assert.deepEqual(await state(), [{ id, live: 1 }]);
});

test("reported installs add up, hundreds in one report", async () => {
  const downloads = Array.from({ length: TAGS }, (_, index) => ({ name: "acme/large", version: `1.${index}.0.0` }));
  const unknown = [{ name: "acme/large", version: "9.9.9.9" }, { name: "acme/absent", version: "1.0.0.0" }];
  for (const round of [1, 2]) {
    const answer = await registry.admin("/notify-batch", { json: { downloads: [...downloads, ...unknown] } });
    assert.equal(answer.status, 204);
    await until("installs are counted", 5000, async () => (await number("SELECT sum(count) FROM downloads")) === round * TAGS);
  }
  assert.deepEqual(await rows("SELECT DISTINCT count, subject FROM downloads"), [{ count: 2, subject: "admin" }]);
});

test("removing a repository takes everything with it that hangs on it", async () => {
  const { id } = (await (await registry.admin("/api/repositories")).json()).find(({ url }) => url === host.urlOf("acme/large"));
  assert.equal((await registry.admin(`/api/repositories/${id}`, { method: "DELETE" })).status, 200);
  for (const table of ["packages", "versions", "version_files", "dists", "documents", "repository_refs", "downloads"]) {
    assert.equal(await number(`SELECT count(*) FROM ${table}`), 0, table);
  }
});

test("nothing went wrong that nobody saw", () => {
  const errors = registry.logs.filter(({ level }) => level === "error").map(({ message }) => message);
  assert.deepEqual(errors, []);
});

// A registry of an earlier version that is killed while its database is migrated: when it is started again, the rest is applied,
// and everything is there.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { applyMigrations, startWorker } from "../../scripts/lib/local.mjs";
import { KILLS, randomNumbers } from "./support/kills.mjs";
import { ADMIN_TOKEN, ENCRYPTION_KEY } from "./support/registry.mjs";

/** The last migration of the earlier version. */
const EARLIER = "0012_told.sql";
const USERS = 500;
const TOKEN = "rst_TheEarlierVersion0000000000000000000000019oCsc";

const bindings = { ADMIN_TOKEN, ENCRYPTION_KEY };

let folder;
/** The state of the earlier version. */
let earlier;
/** How long it takes to migrate that, in milliseconds. */
let duration;
/** The tables, indexes and triggers that it has then. */
let schema;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "rostrum-kills-"));
  earlier = join(folder, "earlier");
  const registry = await startWorker({ state: earlier, bindings, migrate: (database) => applyMigrations(database, EARLIER) });
  await fill(await registry.database());
  await registry.stop();
  const copy = copyOf("undisturbed");
  const migrated = await startWorker({
    state: copy,
    bindings,
    async migrate(database) {
      const begun = performance.now();
      const names = await applyMigrations(database);
      duration = performance.now() - begun;
      return names;
    },
  });
  schema = await schemaOf(await migrated.database());
  await migrated.stop();
});
after(() => rmSync(folder, { recursive: true, force: true }));

function copyOf(name) {
  const copy = join(folder, name);
  cpSync(earlier, copy, { recursive: true });
  return copy;
}

/** What the earlier version knew. */
async function fill(database) {
  const hash = createHash("sha256").update(TOKEN).digest("hex");
  const user = (at) => ({ uid: `user-${at}`, email: `user-${at}@example.com`, role: at === 0 ? "owner" : "viewer" });
  const users = Array.from({ length: USERS }, (_, at) => user(at));
  await database.batch([
    database
      .prepare(
        `INSERT INTO users (uid, organization_id, email, name, role, password, created_at)
         SELECT value ->> 'uid', 1, value ->> 'email', 'Somebody', value ->> 'role', 'none', 1 FROM json_each(?1)`,
      )
      .bind(JSON.stringify(users)),
    database
      .prepare(
        `INSERT INTO tokens (uid, organization_id, hash, description, scopes, metadata, created_at)
         VALUES ('token', 1, ?1, 'The earlier one', '["packages:read","users:read"]', '{}', 1)`,
      )
      .bind(hash),
    database.prepare("INSERT INTO grants (token_id, target) SELECT id, '*' FROM tokens WHERE uid = 'token'"),
  ]);
}

async function schemaOf(database) {
  const { results } = await database.prepare("SELECT name, sql FROM sqlite_master WHERE name NOT GLOB '_cf_*' ORDER BY name").all();
  return results;
}

/** Starts it on `state` and kills it when it has migrated for `moment` milliseconds. */
async function killWhileMigrating(state, moment) {
  let runtime;
  let killed;
  const kill = () => runtime.kill("SIGKILL");
  const starting = startWorker({
    state,
    bindings,
    onRuntime: (child) => ((runtime = child), (killed = once(child, "close"))),
    migrate: (database) => (setTimeout(kill, moment), applyMigrations(database)),
  });
  const started = await starting.catch(() => null);
  await killed;
  await started?.stop();
}

test("a database whose migration is cut off is migrated by the next start, and has lost nothing", async (t) => {
  const random = randomNumbers(t);
  const applied = [];
  for (let kill = 1; kill <= KILLS; kill += 1) {
    const state = copyOf(`kill-${kill}`);
    await killWhileMigrating(state, random() * duration);
    const registry = await startWorker({ state, bindings });
    try {
      applied.push(registry.migrated.length);
      await seesEverything(registry);
    } finally {
      await registry.stop();
      rmSync(state, { recursive: true });
    }
  }
  t.diagnostic(`what was left of the migrations: ${applied.join(", ")}`);
  assert.ok(new Set(applied).size > 1, "it was always killed at the same migration");
});

async function seesEverything(registry) {
  assert.equal((await fetch(`${registry.url}/health`)).status, 200);
  const database = await registry.database();
  assert.deepEqual(await schemaOf(database), schema);
  assert.deepEqual((await database.prepare("PRAGMA foreign_key_check").all()).results, []);
  const users = "SELECT count(*) AS users, sum(role = 'owner') AS owners FROM users JOIN memberships ON user_id = users.id";
  assert.deepEqual({ ...(await database.prepare(users).first()) }, { users: USERS, owners: 1 });
  for (const path of ["/packages.json", "/api/users"]) {
    const answer = await fetch(registry.url + path, { headers: { authorization: `Bearer ${TOKEN}` } });
    assert.equal(answer.status, 200, `${path}: ${await answer.text()}`);
  }
}

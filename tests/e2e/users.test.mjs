// People: from the first set-up to a forgotten password, against the built Worker.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { after, before, test } from "node:test";
import { createProject } from "./support/composer.mjs";
import { startGitHost } from "./support/git-host.mjs";
import { ADMIN_TOKEN, register, startRegistry } from "./support/registry.mjs";

const PASSWORD = "correct horse battery";
const OTHER_PASSWORD = "another horse battery";
/** Of an authenticator app. */
const STEP = 30_000;

let host;
let registry;
/** Sessions by name. */
const sessions = {};
const ids = {};
let secret;
let recoveryCodes;

before(async () => {
  host = await startGitHost();
  registry = await startRegistry();
  const library = host.repository("acme/library");
  library.commit({ "composer.json": JSON.stringify({ name: "acme/library" }) });
  library.tag("v1.0.0");
  const repository = await register(registry, { url: host.urlOf("acme/library") });
  assert.equal(repository.sync_status, "ok", repository.error);
});

after(async () => {
  await registry?.stop();
  await host?.stop();
});

/** Sends a request with `token`, and a JSON body if there is one; `{ status, headers, body }`. */
async function request(method, path, { token, json } = {}) {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const body = json === undefined ? undefined : JSON.stringify(json);
  const answer = await registry.request(path, { method, headers, body });
  return { status: answer.status, headers: answer.headers, body: await answer.json() };
}

/** The same for an answer that must have `status`; its body. */
async function expect(status, method, path, options) {
  const answer = await request(method, path, options);
  assert.equal(answer.status, status, `${method} ${path}: ${JSON.stringify(answer.body)}`);
  return answer.body;
}

const logIn = (email, more = {}) => request("POST", "/api/auth/login", { json: { email, password: PASSWORD, ...more } });
const isAlive = async (token) => (await request("GET", "/api/auth/me", { token })).status === 200;

/** What an authenticator app with the secret shows in a time step. */
function codeOf(base32, step) {
  const bits = [...base32].map((c) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(c).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => Number.parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(step));
  const digest = createHmac("sha1", key).update(counter).digest();
  const number = digest.readUInt32BE(digest[19] & 15) & 0x7fffffff;
  return String(number % 1_000_000).padStart(6, "0");
}

const now = () => Math.floor(Date.now() / STEP);

test("the admin token makes the first owner, once, however many ask at a time", async () => {
  assert.deepEqual(await expect(200, "GET", "/api/auth/setup"), { setup_required: true });
  const json = { email: " Ada@Example.org", name: "Ada", password: PASSWORD };
  assert.equal((await expect(401, "POST", "/api/auth/setup", { json })).code, "UNAUTHENTICATED");
  const answers = await Promise.all([1, 2, 3].map(() => request("POST", "/api/auth/setup", { token: ADMIN_TOKEN, json })));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [201, 409, 409]);
  assert.deepEqual(await expect(200, "GET", "/api/auth/setup"), { setup_required: false });
  const { body } = await logIn("ada@example.org");
  assert.match(body.token, /^rss_/);
  assert.equal(body.user.role, "owner");
  sessions.ada = body.token;
  ids.ada = body.user.id;
});

test("an invitation's link leads to a page of the registry, and makes a user", async () => {
  const made = await expect(201, "POST", "/api/invitations", { token: sessions.ada, json: { email: "vic@example.org", role: "viewer" } });
  assert.equal(made.link, `${registry.url}/account/#${made.token}`);
  const page = await registry.request(new URL(made.link).pathname);
  assert.equal(page.status, 200);
  assert.equal(page.headers.get("content-type"), "text/html; charset=utf-8");
  assert.equal(page.headers.get("referrer-policy"), "no-referrer");
  assert.match(page.headers.get("content-security-policy"), /^default-src 'none'; script-src 'self'; /);
  assert.doesNotMatch(page.headers.get("content-security-policy"), /unsafe|\*|https?:/);
  const html = await page.text();
  const loaded = [...html.matchAll(/(?:href|src)="([^"]+)"/g)].map((match) => match[1]);
  assert.equal(loaded.length, 2);
  for (const name of loaded) assert.equal((await registry.request(`/account/${name}`)).status, 200, name);
  const script = await (await registry.request("/account/page.js")).text();
  assert.match(script, /\/api\/auth\/\$\{path\}/);
  assert.equal((await request("GET", "/account/absent")).body.code, "NOT_FOUND");

  const json = { token: made.token, name: "Vic", password: PASSWORD };
  const answers = await Promise.all([1, 2].map(() => request("POST", "/api/auth/accept-invitation", { json })));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [201, 404]);
  const { body } = await logIn("vic@example.org");
  sessions.vic = body.token;
  ids.vic = body.user.id;
});

test("a viewer reads, installs with composer, and is refused to write", async () => {
  const token = sessions.vic;
  assert.equal((await expect(200, "GET", "/api/packages", { token }))[0].name, "acme/library");
  for (const [method, path, json] of [
    ["POST", "/api/repositories", { url: host.urlOf("acme/library") }],
    ["POST", "/api/tokens", { description: "Mine" }],
    ["GET", "/api/users"],
    ["PATCH", `/api/users/${ids.vic}`, { role: "owner" }],
    ["DELETE", `/api/users/${ids.ada}`],
  ]) {
    const refused = await expect(403, method, path, { token, json });
    assert.equal(refused.code, "FORBIDDEN");
    assert.match(refused.error, /^The role `viewer` lacks the scope `/);
  }
  const project = createProject({ url: registry.url, auth: { username: "vic", password: token } });
  try {
    const required = await project.composer("require", "acme/library");
    assert.equal(required.code, 0, required.output);
  } finally {
    project.remove();
  }
});

test("a second factor is set up, needed, and spent by its use", async () => {
  const token = sessions.ada;
  const made = await expect(200, "POST", "/api/auth/2fa/setup", { token });
  secret = made.secret;
  assert.ok(made.otpauth_uri.startsWith(`otpauth://totp/Rostrum:ada%40example.org?secret=${secret}&`));
  const first = now();
  recoveryCodes = (await expect(200, "POST", "/api/auth/2fa/enable", { token, json: { code: codeOf(secret, first) } })).recovery_codes;
  assert.equal(recoveryCodes.length, 10);

  const missing = await logIn("ada@example.org");
  assert.deepEqual([missing.status, missing.body.code], [401, "TWO_FACTOR_REQUIRED"]);
  const spent = await logIn("ada@example.org", { totp_code: codeOf(secret, first) });
  assert.deepEqual([spent.status, spent.body.code], [401, "INVALID_CREDENTIALS"]);
  // The next code may be a step early; two logins with it at once are one session.
  const next = Math.max(first + 1, now());
  const both = await Promise.all([1, 2].map(() => logIn("ada@example.org", { totp_code: codeOf(secret, next) })));
  assert.deepEqual(both.map(({ status }) => status).sort(), [200, 401]);
  const [recovery_code] = recoveryCodes;
  const recovered = await Promise.all([1, 2].map(() => logIn("ada@example.org", { recovery_code })));
  assert.deepEqual(recovered.map(({ status }) => status).sort(), [200, 401]);
  const me = await expect(200, "GET", "/api/auth/me", { token });
  assert.deepEqual([me.two_factor_enabled, me.recovery_codes_left], [true, 9]);
  assert.equal((await expect(200, "GET", "/api/auth/sessions", { token })).length, 3);
});

test("blocking a user ends the session at once", async () => {
  const second = (await logIn("vic@example.org")).body.token;
  assert.ok((await isAlive(sessions.vic)) && (await isAlive(second)));
  await expect(200, "PATCH", `/api/users/${ids.vic}`, { token: sessions.ada, json: { blocked: true } });
  for (const token of [sessions.vic, second]) {
    const { status, body } = await request("GET", "/api/auth/me", { token });
    assert.deepEqual([status, body.error], [401, "This session has ended. Log in again."]);
    const composer = { authorization: `Basic ${Buffer.from(`vic:${token}`).toString("base64")}`, "user-agent": "Composer/2.8.0" };
    assert.equal((await registry.request("/packages.json", { headers: composer })).status, 401);
  }
  assert.equal((await logIn("vic@example.org")).status, 403);
  await expect(200, "PATCH", `/api/users/${ids.vic}`, { token: sessions.ada, json: { blocked: false } });
  assert.ok(!(await isAlive(sessions.vic)));
});

test("a forgotten password is replaced with a link, and the sessions end", async () => {
  const { token: session } = (await logIn("vic@example.org")).body;
  const path = `/api/users/${ids.vic}/reset-link`;
  const { token, link } = await expect(201, "POST", path, { token: sessions.ada });
  assert.equal(link, `${registry.url}/account/#${token}`);
  const json = { token, password: OTHER_PASSWORD };
  const answers = await Promise.all([1, 2].map(() => request("POST", "/api/auth/reset", { json })));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 404]);
  assert.ok(!(await isAlive(session)));
  assert.equal((await logIn("vic@example.org")).status, 401);
  assert.equal((await logIn("vic@example.org", { password: OTHER_PASSWORD })).status, 200);
});

test("failed logins close the account for a while, whether it exists or not", async () => {
  for (const email of ["vic@example.org", "nobody@example.org"]) {
    const answers = await Promise.all(Array.from({ length: 14 }, () => logIn(email, { password: "wrong horse battery" })));
    assert.deepEqual(answers.map(({ status }) => status).sort(), [...Array(10).fill(401), ...Array(4).fill(429)], email);
    const refused = await logIn(email, { password: OTHER_PASSWORD });
    assert.equal(refused.status, 429);
    assert.match(refused.body.error, /^Too many failed logins\. Try again in \d+ seconds\.$/);
    const seconds = Number(refused.headers.get("retry-after"));
    assert.ok(seconds > 800 && seconds <= 901, seconds);
  }
});

test("a session outlives a restart, and ends with the logout", async () => {
  await registry.restart();
  assert.ok(await isAlive(sessions.ada));
  assert.deepEqual(await expect(200, "POST", "/api/auth/logout", { token: sessions.ada }), { message: "Logged out" });
  assert.ok(!(await isAlive(sessions.ada)));
});

test("the last owner stays", async () => {
  for (const [method, json] of [["DELETE"], ["PATCH", { blocked: true }], ["PATCH", { role: "viewer" }]]) {
    assert.equal((await expect(409, method, `/api/users/${ids.ada}`, { token: ADMIN_TOKEN, json })).code, "CONFLICT");
  }
});

test("everything that happened is in the audit log, and no secret is", async () => {
  const entries = await expect(200, "GET", "/api/audit-log?limit=1000", { token: ADMIN_TOKEN });
  const actions = new Set(entries.map(({ action }) => action));
  for (const action of [
    "user.created", "user.changed", "user.two_factor_prepared", "user.two_factor_enabled", "user.reset_link_issued",
    "user.password_reset", "invitation.created", "invitation.accepted", "session.started", "session.ended", "login.failed",
    "login.locked",
  ]) {
    assert.ok(actions.has(action), action);
  }
  const database = await registry.database();
  const tables = ["users", "sessions", "recovery_codes", "invitations", "password_resets", "login_throttles", "audit_log"];
  const everything = [];
  for (const table of tables) everything.push((await database.prepare(`SELECT * FROM ${table}`).all()).results);
  const text = JSON.stringify([everything, registry.logs]);
  for (const plain of [PASSWORD, OTHER_PASSWORD, secret, ...recoveryCodes, ...Object.values(sessions)]) {
    assert.ok(!text.includes(plain), plain);
  }
});

test("nothing went wrong that nobody saw", () => {
  assert.deepEqual(registry.logs.filter(({ level }) => level === "error"), []);
});

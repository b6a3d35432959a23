// An operator runs a whole registry from its API document alone: from the first set-up over repositories, uploads, a
// second registry as upstream, tokens and advisories to a new encryption key. Real composer installs what comes of it.

import assert from "node:assert/strict";
import { createHmac, randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import { readDocument } from "./support/api.mjs";
import { createProject } from "./support/composer.mjs";
import { startGitHost } from "./support/git-host.mjs";
import { ADMIN_TOKEN, issueToken, register, startRegistry, waitForSync } from "./support/registry.mjs";
import { storedZip } from "./support/zip.mjs";

const PASSWORD = "correct horse battery";
const OTHER_PASSWORD = "another horse battery";
/** What the git host wants to see. */
const GIT = { username: "deploy", password: "git-secret-1" };
const OLD_KEY = randomBytes(32).toString("base64");
const NEW_KEY = randomBytes(32).toString("base64");

let host;
let upstream;
let upstreamToken;
let registry;
let api;
let project;
/** The owner's session. */
let ada;
/** A viewer's session, and its user. */
let vic;
let vicId;
/** Of the private git repository. */
let appId;
/** What composer has. */
let customer;

const json = (value) => JSON.stringify(value);
const call = (id, options) => api.call(id, { token: ada, ...options });
const zip = (name, version) => storedZip({ "composer.json": json({ name }), "src/a.php": `<?php // ${version}\n` });
const upload = (name, version, options) => {
  const [vendor, half] = name.split("/");
  return call("upload_version", { at: { vendor, name: half, version }, body: zip(name, version), status: 201, ...options });
};
const locked = (name) => project.readJson("composer.lock").packages.find((entry) => entry.name === name);

async function composer(...args) {
  const { code, output } = await project.composer(...args);
  assert.equal(code, 0, output);
  return output;
}

async function logIn(email, more = {}, status = 200) {
  return api.call("log_in", { json: { email, password: PASSWORD, ...more }, status });
}

/** What an authenticator app with this secret shows now. */
function codeNow(base32) {
  const bits = [...base32].map((c) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(c).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => Number.parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000)));
  const digest = createHmac("sha1", key).update(counter).digest();
  return String((digest.readUInt32BE(digest[19] & 15) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

before(async () => {
  host = await startGitHost({ auth: GIT });
  [upstream, registry] = await Promise.all([startRegistry(), startRegistry({ bindings: { ENCRYPTION_KEY: OLD_KEY } })]);
  api = await readDocument(registry);
  const library = host.repository("vendor/lib");
  library.commit({ "composer.json": json({ name: "vendor/lib" }), "src/lib.php": "<?php // of the second registry\n" });
  library.tag("2.0.0");
  const mirrored = await register(upstream, { url: host.urlOf("vendor/lib"), auth_credentials: GIT });
  assert.equal(mirrored.sync_status, "ok", mirrored.error);
  upstreamToken = (await issueToken(upstream)).token;
  const app = host.repository("acme/app");
  const require = { "acme/uploaded": "^1.0", "vendor/lib": "^2.0" };
  app.commit({ "composer.json": json({ name: "acme/app", require }), "README.md": "# App\n", "CHANGELOG.md": "## 1.0.0\n" });
  for (const tag of ["1.0.0", "nightly"]) app.tag(tag);
});

after(async () => {
  project?.remove();
  await registry?.stop();
  await upstream?.stop();
  await host?.stop();
});

// ------------------------------------------------------------------------------------------------ people

test("whoever holds the admin token makes the first owner, and nobody else", async () => {
  await api.call("get_openapi_document");
  await api.call("get_swagger");
  assert.deepEqual(await api.call("get_setup"), { setup_required: true });
  const owner = { email: "ada@example.org", name: "Ada", password: PASSWORD };
  await api.call("set_up", { json: owner, status: 401 });
  await api.call("set_up", { json: owner, status: 201, token: ADMIN_TOKEN });
  await api.call("set_up", { json: owner, status: 409, token: ADMIN_TOKEN });
  assert.deepEqual(await api.call("get_setup"), { setup_required: false });
  ada = (await logIn("ada@example.org")).token;
  const me = await call("get_me");
  assert.deepEqual([me.email, me.role], ["ada@example.org", "owner"]);
});

test("a second factor is set up, asked for, and taken away again", async () => {
  const { secret } = await call("set_up_two_factor");
  const { recovery_codes } = await call("enable_two_factor", { json: { code: codeNow(secret) } });
  assert.equal((await logIn("ada@example.org", {}, 401)).code, "TWO_FACTOR_REQUIRED");
  await logIn("ada@example.org", { recovery_code: recovery_codes[0] });
  await logIn("ada@example.org", { recovery_code: recovery_codes[0] }, 401);
  const proof = (code) => ({ password: PASSWORD, recovery_code: code });
  const renewed = await call("renew_recovery_codes", { json: proof(recovery_codes[1]) });
  await call("disable_two_factor", { json: proof(recovery_codes[2]), status: 400 });
  await call("disable_two_factor", { json: proof(renewed.recovery_codes[0]) });
  await logIn("ada@example.org");
});

test("people are invited with a role, look after their own account, and are gone at once", async () => {
  const mistaken = await call("create_invitation", { json: { email: "vic@exmaple.org", role: "viewer" } });
  await call("delete_invitation", { at: { id: mistaken.id } });
  const { token } = await call("create_invitation", { json: { email: "vic@example.org", role: "viewer" } });
  assert.deepEqual((await call("list_invitations")).map(({ email }) => email), ["vic@example.org"]);
  const accepted = { token, name: "Vic", password: PASSWORD };
  vicId = (await api.call("accept_invitation", { json: accepted })).id;
  vic = (await logIn("vic@example.org")).token;
  const change = { name: "Victor", email: "victor@example.org", current_password: PASSWORD };
  assert.equal((await api.call("update_me", { token: vic, json: change })).email, "victor@example.org");
  const passwords = { current_password: PASSWORD, password: OTHER_PASSWORD };
  await api.call("change_password", { token: vic, json: passwords });
  const reset = await call("create_reset_link", { at: { id: vicId } });
  await api.call("reset_password", { json: { token: reset.token, password: PASSWORD } });
  await api.call("get_me", { token: vic, status: 401 });

  const other = (await logIn("victor@example.org")).token;
  vic = (await logIn("victor@example.org")).token;
  const sessions = await api.call("list_sessions", { token: vic });
  assert.deepEqual(sessions.map(({ current }) => current), [true, false]);
  await api.call("delete_session", { token: vic, at: { id: sessions[1].id } });
  await api.call("get_me", { token: other, status: 401 });
  await api.call("log_out", { token: vic });
  vic = (await logIn("victor@example.org")).token;
  await api.call("delete_sessions", { token: vic });
  vic = (await logIn("victor@example.org")).token;

  const eve = await call("create_user", { json: { email: "eve@example.org", name: "Eve", role: "member", password: PASSWORD } });
  const evening = (await logIn("eve@example.org")).token;
  await call("update_user", { at: { id: eve.id }, json: { role: "admin" } });
  await api.call("get_me", { token: evening, status: 401 });
  assert.equal((await call("get_user", { at: { id: eve.id } })).role, "admin");
  assert.deepEqual((await call("list_users", { query: { search: "EVE" } })).map(({ id }) => id), [eve.id]);
  const again = (await logIn("eve@example.org")).token;
  await call("delete_user", { at: { id: eve.id } });
  await api.call("get_me", { token: again, status: 401 });
});

test("a viewer writes nothing, whichever operation is tried", async () => {
  const writing = api.operations().filter(({ method, path }) => method !== "GET" && /^\/api\/(?!auth\/)/.test(path));
  assert.ok(writing.length > 30, json(writing.map(({ operationId }) => operationId)));
  const at = { organization: "default", id: "x", version: "1.0.0", vendor: "acme", name: "x", token: "x", delivery: "1", customer_id: "x", advisory: "x" };
  for (const { operationId } of writing) {
    const { error, message } = await api.call(operationId, { token: vic, at, status: 403 });
    assert.match(error ?? message, /^The role `viewer` lacks the scope `|^Only ADMIN_TOKEN may do this/, operationId);
  }
});

// ------------------------------------------------------------------------------------------------ where packages come from

test("a private git repository is registered, verified, synced and told of", async () => {
  const url = host.urlOf("acme/app");
  const made = await call("create_repository", { json: { url, auth_credentials: { ...GIT, password: "wrong" } } });
  appId = made.id;
  const at = { id: appId };
  const refused = await call("verify_repository", { at });
  assert.deepEqual([refused.ok, refused.error], [false, "the server refuses the credentials (HTTP 401); check `auth_credentials`"]);
  assert.equal((await waitForSync(registry, appId)).sync_status, "failed");
  await call("update_repository", { at, json: { auth_credentials: GIT } });
  const seen = await call("verify_repository", { at });
  assert.deepEqual([seen.ok, seen.default_branch, seen.tags], [true, "main", 2]);
  const synced = await waitForSync(registry, appId);
  assert.deepEqual([synced.sync_status, synced.package], ["ok", "acme/app"]);
  const [run] = await call("list_syncs", { at });
  assert.deepEqual([run.status, run.skipped.map(({ ref }) => ref)], ["ok", ["refs/tags/nightly"]]);

  await call("sync_repository", { at });
  await waitForSync(registry, appId);
  const [nightly, ...published] = await call("list_refs", { at });
  assert.deepEqual([nightly.ref, nightly.reason], ["refs/tags/nightly", run.skipped[0].reason]);
  assert.deepEqual(published.map(({ version }) => version), ["dev-main", "1.0.0"]);

  await call("replace_repository", { at, json: { url, credential_type: "basic", branch_filter: ["main"] } });
  assert.equal((await waitForSync(registry, appId)).sync_status, "ok");
  assert.deepEqual((await call("get_repository", { at })).branch_filter, ["main"]);
  assert.ok(!json(await call("list_repositories", { query: { kind: "git" } })).includes(GIT.password));
});

test("all packages of a monorepo are registered in one call", async () => {
  const mono = host.repository("acme/mono");
  mono.commit({ "packages/one/composer.json": json({ name: "acme/one" }), "packages/docs/index.md": "# Docs" });
  const spec = { url: host.urlOf("acme/mono"), path: "packages/*", tag_prefix: "{directory}-v", auth_credentials: GIT };
  const { repositories, skipped } = await call("register_monorepo", { json: spec });
  assert.deepEqual(skipped, [{ path: "packages/docs", reason: "it has no composer.json" }]);
  assert.deepEqual(repositories.map(({ path, tag_prefix }) => [path, tag_prefix]), [["packages/one", "one-v"]]);
  assert.equal((await waitForSync(registry, repositories[0].id)).package, "acme/one");
  await call("delete_repository", { at: { id: repositories[0].id } });
});

test("a repository that is removed takes its packages along", async () => {
  const extra = host.repository("acme/extra");
  extra.commit({ "composer.json": json({ name: "acme/extra" }) });
  const made = await call("create_repository", { json: { url: host.urlOf("acme/extra"), auth_credentials: GIT } });
  assert.equal((await waitForSync(registry, made.id)).package, "acme/extra");
  await call("delete_repository", { at: { id: made.id } });
  await call("get_repository", { at: { id: made.id }, status: 404 });
  await call("get_package_by_name", { at: { vendor: "acme", name: "extra" }, status: 404 });
});

test("zips are uploaded, yanked, deleted and cleaned up", async () => {
  const home = await call("create_repository", { json: { kind: "artifact" } });
  for (const version of ["0.8.0", "0.9.0", "1.0.0"]) await upload("acme/uploaded", version);
  await upload("acme/uploaded", "1.0.0", { status: 200 });
  await upload("acme/uploaded", "1.0.0", { body: zip("acme/uploaded", "other"), status: 409 });
  const form = new FormData();
  form.append("file", new Blob([zip("acme/uploaded", "1.1.0")], { type: "application/zip" }), "package.zip");
  await upload("acme/uploaded", "1.1.0", { body: form });
  await upload("acme/gone", "1.0.0");
  const listed = await call("list_packages", { query: { repo_id: home.id } });
  assert.deepEqual(listed.map(({ name }) => name), ["acme/gone", "acme/uploaded"]);

  const at = { id: "acme/uploaded", version: "1.1.0" };
  assert.equal((await call("yank_version", { at })).yanked, true);
  assert.equal((await call("unyank_version", { at })).yanked, false);
  await call("yank_version", { at });
  await call("delete_version", { at: { ...at, version: "0.8.0" } });
  await call("delete_package", { at: { id: "acme/gone" } });
  const rule = { package: "acme/uploaded", keep_versions: 2 };
  const told = await call("clean_up_artifacts", { json: rule });
  assert.deepEqual([told.dry_run, told.versions.map(({ version }) => version)], [true, ["0.9.0"]]);
  const done = await call("clean_up_artifacts", { json: { ...rule, dry_run: false } });
  assert.deepEqual(done.versions, told.versions);
  assert.equal((await call("list_artifacts", { query: { package: "acme/uploaded" } })).length, 2);
});

test("a second registry is an upstream, with credentials, for the packages that the filter names", async () => {
  const spec = { kind: "composer", url: upstream.url, credential_type: "token", auth_credentials: upstreamToken };
  const made = await call("create_repository", { json: { ...spec, package_filter: ["vendor/*"] } });
  const seen = await call("verify_repository", { at: { id: made.id } });
  assert.deepEqual([seen.ok, seen.packages], [true, null], "its root tells by patterns what it has");
  assert.equal((await waitForSync(registry, made.id)).sync_status, "ok");
  assert.equal((await call("get_settings")).packagist_mirroring, false);
  const settings = await call("update_settings", { json: { reserved_vendors: ["acme"] } });
  assert.deepEqual(settings.reserved_vendors, ["acme"]);
});

// ------------------------------------------------------------------------------------------------ who installs them

test("tokens are issued once for each key, found, changed, rotated and revoked", async () => {
  const order = {
    description: "Order 1001", permissions: "readonly", allowed_package_prefixes: ["acme/"],
    metadata: { customer_id: "c-7", order_id: "1001" },
  };
  const headers = { "Idempotency-Key": "order-1001" };
  const issued = await call("create_token", { json: order, headers });
  assert.deepEqual(await call("create_token", { json: order, headers }), issued);
  await call("create_token", { json: { ...order, description: "Another" }, headers, status: 409 });
  await call("create_token", { json: { ...order, description: "Order 1002" } });
  const found = await call("list_tokens", { query: { customer_id: "c-7", description: "1001" } });
  assert.deepEqual(found.map(({ id }) => id), [issued.id]);
  const misspelt = await registry.admin("/api/tokens?costumer_id=c-7");
  assert.deepEqual([misspelt.status, Object.keys((await misspelt.json()).details)], [400, ["costumer_id"]]);

  const at = { id: issued.id };
  const grants = [{ package: "acme/app" }, { package: "acme/uploaded" }, { package: "vendor/lib", constraint: "^2.0" }];
  const change = { grants, rate_limit_max: 5000, expires_at: Math.floor(Date.now() / 1000) + 3600 };
  assert.equal((await call("update_token", { at, json: change })).rate_limit_max, 5000);
  customer = (await call("rotate_token", { at, json: { grace_seconds: 0 } })).token;
  assert.deepEqual((await call("get_token", { at })).grants.map((grant) => grant.package), grants.map((grant) => grant.package));
  const { id } = await call("create_token", { json: { description: "A mistake", scopes: ["packages:read"] } });
  await call("delete_token", { at: { id } });
  await call("delete_tokens", { status: 400 });
  assert.equal((await call("delete_tokens", { query: { order_id: "1001", description: "1002" } })).revoked, 1);
});

test("an answer to a token tells of its limit", async () => {
  const { headers } = await api.call("list_packages", { token: customer, whole: true });
  assert.equal(headers.get("x-ratelimit-limit"), "5000");
  assert.ok(Number(headers.get("x-ratelimit-remaining")) < 5000);
  assert.ok(Number(headers.get("x-ratelimit-reset")) > Date.now() / 1000);
});

test("composer installs from git, from an upload and through the mirror, all of it from here", async () => {
  project = createProject({ url: registry.url, auth: { username: "token", password: customer } });
  await composer("require", "acme/app");
  assert.deepEqual(["acme/app", "acme/uploaded", "vendor/lib"].map((name) => locked(name).version), ["1.0.0", "1.0.0", "2.0.0"]);
  for (const { dist } of project.readJson("composer.lock").packages) assert.ok(dist.url.startsWith(`${registry.url}/dist/`), dist.url);
  assert.equal(project.read("vendor/vendor/lib/src/lib.php"), "<?php // of the second registry\n");
});

test("packages are told of: versions, texts, installs, dependents", async () => {
  const at = { id: "acme/app" };
  const byName = await call("get_package_by_name", { at: { vendor: "acme", name: "app" } });
  assert.deepEqual(await call("get_package", { at: { id: byName.id } }), byName);
  assert.deepEqual((await call("list_versions", { at })).map(({ version }) => version), ["1.0.0", "dev-main"]);
  assert.equal((await call("get_version", { at: { ...at, version: "1.0.0" } })).require["vendor/lib"], "^2.0");
  assert.equal(await call("get_readme", { at }), "# App\n");
  assert.equal(await call("get_changelog", { at, query: { version: "1.0.0" } }), "## 1.0.0\n");
  const stats = await call("get_package_stats", { at });
  assert.deepEqual([stats.total, stats.days[0].versions], [1, { "1.0.0": 1 }]);
  const dependents = await call("list_dependents", { at: { id: "acme/uploaded" } });
  assert.deepEqual(dependents.map(({ name }) => name), ["acme/app"]);
});

test("composer warns of what the operator calls abandoned", async () => {
  await call("update_package", { at: { id: "acme/uploaded" }, json: { abandoned: "acme/app" } });
  assert.match(await composer("update"), /acme\/uploaded is abandoned, you should avoid using it\. Use acme\/app instead\./);
});

test("composer audit tells of an advisory for as long as it stands", async () => {
  const spec = { package: "acme/uploaded", title: "Path traversal", affected_versions: "<1.1", severity: "high" };
  const { id } = await call("create_advisory", { json: spec });
  const audit = async () => JSON.parse((await project.composer("audit", "--format=json")).stdout).advisories;
  assert.equal((await audit())["acme/uploaded"][0].title, "Path traversal");
  await call("update_advisory", { at: { id }, json: { cve: "CVE-2026-0001" } });
  assert.equal((await call("get_advisory", { at: { id } })).cve, "CVE-2026-0001");
  assert.deepEqual((await call("list_advisories", { query: { severity: "high" } })).map((entry) => entry.id), [id]);
  await call("delete_advisory", { at: { id } });
  assert.deepEqual(await audit(), []);

  const entry = await call("create_filter_entry", { json: { package: "acme/uploaded", constraint: "1.1.0", reason: "Malware" } });
  assert.deepEqual((await call("list_filter_entries")).map((listed) => listed.id), [entry.id]);
  await call("delete_filter_entry", { at: { id: entry.id } });
});

// ------------------------------------------------------------------------------------------------ running it

test("totals and the audit log tell what there is and who did what, and no secret", async () => {
  const totals = await call("get_statistics");
  assert.deepEqual([totals.packages, totals.downloads.total > 0, totals.storage.bytes > 0], [3, true, true]);
  const log = await call("list_audit_log", { query: { limit: 1000 } });
  const actions = new Set(log.map(({ action }) => action.split(".")[0]));
  for (const area of ["user", "invitation", "session", "repository", "version", "package", "settings", "token", "advisory"]) {
    assert.ok(actions.has(area), area);
  }
  const lines = (await call("export_audit_log")).trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(lines, log);
  const text = json([log, registry.logs]);
  for (const secret of [PASSWORD, OTHER_PASSWORD, GIT.password, upstreamToken, customer, ada, vic, ADMIN_TOKEN]) {
    assert.ok(!text.includes(secret));
  }
});

test("a new encryption key takes over, and credentials open with it", async () => {
  await registry.restart({ bindings: { ENCRYPTION_KEY: `${NEW_KEY},${OLD_KEY}` } });
  assert.equal((await call("list_encryption_keys")).length, 2);
  const turned = await api.call("rotate_encryption_key", { token: ADMIN_TOKEN });
  assert.deepEqual([turned.remaining, turned.unreadable, turned.resealed >= 2], [0, 0, true]);
  await registry.restart({ bindings: { ENCRYPTION_KEY: NEW_KEY } });
  assert.equal((await call("list_encryption_keys")).length, 1);
  await call("sync_repository", { at: { id: appId } });
  assert.equal((await waitForSync(registry, appId)).sync_status, "ok");
});

test("an organization is made beside the first, and each tells of what it has", async () => {
  const made = await call("create_organization", { token: ADMIN_TOKEN, json: { name: "Second" }, status: 201 });
  assert.equal(made.data.slug, "second");
  assert.deepEqual((await call("list_organizations")).data.map(({ slug }) => slug), ["default"]);
  const at = { organization: "default" };
  assert.equal((await call("update_organization", { at, json: { description: "The first" } })).data.description, "The first");
  assert.equal((await call("get_organization", { at })).data.description, "The first");
  const packages = (await call("list_organization_packages", { at, query: { per_page: 100 } })).data;
  const app = packages.find(({ name }) => name === "acme/app");
  const details = await call("get_organization_package", { at: { ...at, package: app.id } });
  assert.deepEqual(await call("get_organization_package_by_name", { at: { ...at, vendor: "acme", name: "app" } }), details);
  assert.equal(details.data.repository.id, appId);
  const repositories = (await call("list_organization_repositories", { at })).data;
  assert.equal(repositories.find(({ id }) => id === appId).sync_status, "ok");
  const queued = await call("sync_organization_repository", { at: { ...at, id: appId } });
  assert.equal(queued.message, "Sync queued successfully");
  assert.equal((await waitForSync(registry, appId)).sync_status, "ok");
  const json = { name: "CI", scopes: ["packages:read"], packages: [app.id] };
  const { data } = await call("create_organization_token", { at, json, status: 201 });
  const names = await registry.request("/org/default/list.json", { headers: { authorization: `Bearer ${data.token}` } });
  assert.deepEqual(await names.json(), { packageNames: ["acme/app"] });
  assert.ok((await call("list_organization_tokens", { at })).data.some(({ id }) => id === data.id));
  assert.equal((await call("delete_organization_token", { at: { ...at, id: data.id } })).message, "Token revoked successfully");
});

test("with git host and upstream gone, the lock file installs from here", async () => {
  await upstream.stop();
  await host.stop();
  [upstream, host] = [];
  project.uninstall();
  project.clearCache();
  await composer("install");
  assert.notEqual(project.read("vendor/vendor/lib/src/lib.php"), null);
});

test("every operation of the management API had its part in this", () => {
  assert.deepEqual(api.uncalled(), []);
});

test("nothing went wrong that nobody saw", () => {
  assert.deepEqual(registry.logs.filter(({ level }) => level === "error"), []);
});

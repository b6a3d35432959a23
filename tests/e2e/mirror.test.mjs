// Packages of other Composer repositories, through the worker: a second registry with credentials, a static repository
// as Satis writes it, and a lazy one in Packagist's place. Real composer installs from the worker alone.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createProject } from "./support/composer.mjs";
import { startFileHost } from "./support/file-host.mjs";
import { startGitHost } from "./support/git-host.mjs";
import { issueToken, register, startRegistry, until } from "./support/registry.mjs";
import { storedZip } from "./support/zip.mjs";

/** Larger than several parts of an upload, so that it goes through R2's multipart upload. */
const LARGE_BYTES = 23_000_000;

let host;
let upstream;
let upstreamToken;
let registry;
let token;
let files;
let project;

const json = (value) => JSON.stringify(value);
const sha1 = (bytes) => createHash("sha1").update(bytes).digest("hex");
const manifest = (name, extra = {}) => ({ "composer.json": json({ name, ...extra }), "src/a.php": `<?php // ${name}\n` });

before(async () => {
  host = await startGitHost();
  files = await startFileHost();
  [upstream, registry] = await Promise.all([startRegistry(), startRegistry()]);
  for (const [name, tags, extra] of [
    ["vendor/lib", ["1.0.0", "1.1.0"], { require: { "vendor/base": "^2.0" } }],
    ["vendor/base", ["2.0.0"], {}],
  ]) {
    const repository = host.repository(name);
    repository.commit(manifest(name, extra));
    for (const tag of tags) repository.tag(tag);
    const registered = await register(upstream, { url: host.urlOf(name) });
    assert.equal(registered.sync_status, "ok", registered.error);
  }
  upstreamToken = (await issueToken(upstream, { rate_limit_max: 100_000 })).token;
  const app = host.repository("acme/app");
  app.commit(manifest("acme/app", { require: { "vendor/lib": "^1.0" } }));
  app.tag("1.0.0");
  const own = await register(registry, { url: host.urlOf("acme/app") });
  assert.equal(own.sync_status, "ok", own.error);
  token = (await issueToken(registry, { rate_limit_max: 100_000 })).token;
  project = createProject({
    url: registry.url,
    auth: { username: "token", password: token },
    composerJson: { "minimum-stability": "dev", "prefer-stable": true },
  });
});

after(async () => {
  project?.remove();
  await registry?.stop();
  await upstream?.stop();
  await files?.stop();
  await host?.stop();
});

/** A version as a repository publishes it, with an archive at the host of files. */
function version(name, number, { type = "zip", zip = storedZip(manifest(name)), shasum = sha1(zip), ...extra } = {}) {
  const url = files.put(`/zips/${name}/${number}.${type}`, zip);
  return {
    name,
    version: number,
    dist: { type, url, reference: sha1(`${name} ${number}`), shasum },
    source: { type: "git", url: "http://127.0.0.1:9/nobody", reference: sha1(name) },
    time: "2024-01-02T03:04:05+00:00",
    ...extra,
  };
}

const api = async (path, options) => {
  const answer = await registry.admin(path, options);
  assert.ok(answer.ok, `${path}: ${answer.status} ${await answer.clone().text()}`);
  return answer.json();
};
const patch = (path, changes) => api(path, { method: "PATCH", json: changes });
const locked = (name) => project.readJson("composer.lock").packages.find((entry) => entry.name === name);

/** Registers an upstream and waits for its first sync. */
async function registerUpstream(fields) {
  const { id } = await api("/api/repositories", { json: { kind: "composer", ...fields } });
  return until(`${fields.url} is read`, 20_000, async () => {
    const repository = await api(`/api/repositories/${id}`);
    return ["ok", "failed"].includes(repository.sync_status) && repository;
  });
}

test("an upstream without its credentials tells so, in its own words", async () => {
  const repository = await registerUpstream({ url: upstream.url });
  assert.equal(repository.sync_status, "failed");
  assert.match(repository.error, /the server refuses the credentials \(HTTP 401: .*token/i);
  const seen = await api(`/api/repositories/${repository.id}/verify`, { method: "POST" });
  assert.equal(seen.ok, false);
  assert.equal(seen.error, repository.error);
});

test("the credentials are added, and the upstream is read", async () => {
  const [{ id }] = await api("/api/repositories?kind=composer");
  await patch(`/api/repositories/${id}`, { credential_type: "token", auth_credentials: upstreamToken });
  const seen = await api(`/api/repositories/${id}/verify`, { method: "POST" });
  assert.deepEqual([seen.ok, seen.error, seen.packages], [true, null, null], "its root tells by patterns what it has");
  const repository = await until("it is read", 20_000, async () => {
    const view = await api(`/api/repositories/${id}`);
    return view.sync_status === "ok" && view;
  });
  assert.equal(repository.error, null);
  assert.ok(!json(await api("/api/repositories")).includes(upstreamToken));
});

test("composer requires a package of ours that needs packages of the second registry", async () => {
  const { code, output } = await project.composer("require", "acme/app");
  assert.equal(code, 0, output);
  assert.equal(locked("vendor/lib").version, "1.1.0");
  assert.equal(locked("vendor/base").version, "2.0.0");
  const { dist, source } = locked("vendor/lib");
  assert.ok(dist.url.startsWith(`${registry.url}/dist/vendor/lib/1.1.0/`), dist.url);
  assert.match(dist.shasum, /^[0-9a-f]{40}$/);
  assert.equal(source, undefined, "nobody is led past the registry");
  assert.notEqual(project.read("vendor/vendor/base/src/a.php"), null);
});

test("an update with a warm cache asks for nothing anew", async () => {
  const { code, output } = await project.composer("update", "-vvv");
  assert.equal(code, 0, output);
  const answers = output.split("\n").filter((line) => /^\[\d{3}\] http:\/\/127.*\.json/.test(line));
  assert.ok(answers.length >= 4, output);
  assert.deepEqual([...new Set(answers.map((line) => line.slice(1, 4)))], ["304"], answers.join("\n"));
});

test("with the upstream gone, the lock file installs and the project updates from what is here", async () => {
  await upstream.stop();
  upstream = undefined;
  for (const command of ["install", "update"]) {
    project.uninstall();
    project.clearCache();
    const { code, output } = await project.composer(command);
    assert.equal(code, 0, output);
    assert.notEqual(project.read("vendor/vendor/lib/src/a.php"), null);
  }
});

test("a static repository with includes is published and installed", async () => {
  const included = json({
    packages: {
      "static/one": { "1.0.0": version("static/one", "1.0.0"), "dev-main": version("static/one", "dev-main") },
      "static/two": { "2.0.0": version("static/two", "2.0.0", { require: { "static/one": "*" } }) },
    },
  });
  files.put("/satis/include/all.json", included);
  files.put("/satis/packages.json", { packages: [], includes: { "include/all.json": { sha1: sha1(included) } } });
  const repository = await registerUpstream({ url: `${files.url}/satis` });
  assert.equal(repository.sync_status, "ok", repository.error);
  const { code, output } = await project.composer("require", "static/two");
  assert.equal(code, 0, output);
  assert.equal(locked("static/one").version, "1.0.0");
  assert.ok(locked("static/two").dist.url.startsWith(registry.url));
});

/** A tar of a package, as Satis writes it. */
function tarOf(name) {
  const folder = mkdtempSync(join(tmpdir(), "rostrum-tar-"));
  try {
    mkdirSync(join(folder, "src"));
    for (const [path, content] of Object.entries(manifest(name))) writeFileSync(join(folder, path), content);
    return execFileSync("tar", ["--create", "--directory", folder, "composer.json", "src"]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("a package whose archive is a tar, as Satis makes them, is installed with its bytes as they are", async () => {
  const tar = tarOf("tarred/lib");
  files.put("/tars/packages.json", {
    packages: { "tarred/lib": { "1.0.0": version("tarred/lib", "1.0.0", { type: "tar", zip: tar }) } },
  });
  const repository = await registerUpstream({ url: `${files.url}/tars` });
  assert.equal(repository.sync_status, "ok", repository.error);
  const { code, output } = await project.composer("require", "tarred/lib");
  assert.equal(code, 0, output);
  assert.match(project.read("vendor/tarred/lib/src/a.php"), /tarred\/lib/);
  const { dist } = locked("tarred/lib");
  assert.deepEqual([dist.type, dist.shasum], ["tar", sha1(tar)]);
  assert.ok(dist.url.startsWith(registry.url), dist.url);
});

test("Packagist is asked last, never for reserved names, and only while that is switched on", async () => {
  files.put("/packagist/packages.json", { packages: [], "metadata-url": "/packagist/p2/%package%.json" });
  for (const name of ["free/lib", "acme/stranger", "reserved/lib"]) {
    files.put(`/packagist/p2/${name}.json`, { packages: { [name]: [version(name, "1.0.0")] } });
  }
  const off = await project.composer("require", "free/lib");
  assert.notEqual(off.code, 0, off.output);
  const settings = await patch("/api/settings", {
    packagist_mirroring: true,
    packagist_url: `${files.url}/packagist`,
    reserved_vendors: ["reserved"],
  });
  assert.deepEqual(settings.reserved_vendors, ["reserved"]);
  const on = await project.composer("require", "free/lib");
  assert.equal(on.code, 0, on.output);
  assert.equal(locked("free/lib").version, "1.0.0");
  files.forget();
  for (const name of ["acme/stranger", "reserved/lib"]) {
    const { code, output } = await project.composer("require", name);
    assert.notEqual(code, 0, output);
  }
  assert.deepEqual(files.log.filter((path) => /stranger|reserved/.test(path)), []);
  const again = await project.composer("update");
  assert.equal(again.code, 0, again.output);
});

test("a zip with another hash than promised is refused in words that composer prints, and nothing is kept", async () => {
  const zip = storedZip(manifest("free/broken"));
  files.put("/packagist/p2/free/broken.json", {
    packages: { "free/broken": [version("free/broken", "1.0.0", { zip, shasum: "0".repeat(40) })] },
  });
  const other = createProject({ url: registry.url, auth: { bearer: token } });
  const { code, output } = await other.composer("require", "free/broken").finally(() => other.remove());
  assert.notEqual(code, 0);
  assert.match(output, /its SHA-1 is [0-9a-f]{40}, but the upstream's metadata promises 0{40}/);
  const database = await registry.database();
  const { results } = await database.prepare("SELECT count(*) AS n FROM artifacts WHERE sha1 = ?1").bind(sha1(zip)).all();
  assert.deepEqual(results, [{ n: 0 }]);
});

test("a large zip goes to the bucket in parts and comes back whole, for many who ask at once", async () => {
  const zip = storedZip({ ...manifest("free/large"), "data.bin": randomBytes(LARGE_BYTES) });
  files.put("/packagist/p2/free/large.json", { packages: { "free/large": [version("free/large", "1.0.0", { zip })] } });
  const headers = { authorization: `Bearer ${token}`, "user-agent": "Composer/2.8.0" };
  assert.equal((await registry.request("/p2/free/large.json", { headers })).status, 200);
  files.forget();
  const download = async () => {
    const answer = await registry.request("/dist/free/large/1.0.0.zip", { headers });
    assert.equal(answer.status, 200, await answer.clone().text());
    return sha1(Buffer.from(await answer.arrayBuffer()));
  };
  const hashes = await Promise.all([download(), download(), download()]);
  assert.deepEqual([...new Set(hashes)], [sha1(zip)]);
  const before = files.log.length;
  assert.ok(before >= 1);
  assert.equal(await download(), sha1(zip));
  assert.equal(files.log.length, before, "it is served from here");
  const part = await registry.request("/dist/free/large/1.0.0.zip", { headers: { ...headers, range: "bytes=9000000-9000099" } });
  assert.equal(part.status, 206);
  assert.deepEqual(Buffer.from(await part.arrayBuffer()), zip.subarray(9_000_000, 9_000_100));
});

test("a registry that was restarted serves what it mirrored", async () => {
  await registry.restart();
  await files.stop();
  files = undefined;
  project.uninstall();
  project.clearCache();
  const { code, output } = await project.composer("install");
  assert.equal(code, 0, output);
  assert.notEqual(project.read("vendor/static/one/src/a.php"), null);
  assert.notEqual(project.read("vendor/free/lib/src/a.php"), null);
});

test("nothing went wrong that nobody saw", () => {
  assert.deepEqual(registry.logs.filter((line) => line.level === "error"), []);
});

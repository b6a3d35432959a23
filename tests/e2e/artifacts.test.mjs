// Uploaded zips: composer's own archives are published with one PUT, installed, yanked, abandoned and cleaned up.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createProject } from "./support/composer.mjs";
import { issueToken, startRegistry } from "./support/registry.mjs";

const NAME = "acme/uploaded";

let registry;
let project;
let writer;
const zips = {};

before(async () => {
  registry = await startRegistry();
  writer = (await issueToken(registry, { permissions: "write", allowed_package_prefixes: ["acme/"] })).token;
  const { token } = await issueToken(registry, { allowed_package_prefixes: ["acme/"] });
  project = createProject({ url: registry.url, auth: { username: "token", password: token } });
  for (const version of ["1.0.0", "1.1.0"]) zips[version] = await archive(version);
});

after(async () => {
  project?.remove();
  await registry?.stop();
});

/** A zip of the package as `composer archive` makes it. */
async function archive(version) {
  const autoload = { "psr-4": { "Acme\\Uploaded\\": "src/" } };
  const work = createProject({ url: registry.url, composerJson: { name: NAME, description: "Uploaded", autoload } });
  try {
    mkdirSync(join(work.folder, "src"));
    writeFileSync(join(work.folder, "src/Version.php"), source(version));
    writeFileSync(join(work.folder, "README.md"), `# Uploaded ${version}\n`);
    const { code, output } = await work.composer("archive", "--format=zip", "--dir=out", "--file=package");
    assert.equal(code, 0, output);
    return readFileSync(join(work.folder, "out/package.zip"));
  } finally {
    work.remove();
  }
}

const source = (version) => `<?php\nnamespace Acme\\Uploaded;\nfinal class Version { const TEXT = '${version}'; }\n`;
const sha1 = (bytes) => createHash("sha1").update(bytes).digest("hex");
const locked = () => project.readJson("composer.lock").packages.find((entry) => entry.name === NAME);

const put = (version, body, headers = {}) =>
  registry.request(`/api/packages/${NAME}/versions/${version}`, {
    method: "PUT",
    body,
    headers: { authorization: `Bearer ${writer}`, ...headers },
  });

const at = (path) => `/api/packages/${encodeURIComponent(NAME)}${path}`;

test("an archive that composer made is published with one PUT, and required", async () => {
  const answer = await put("1.0.0", zips["1.0.0"]);
  assert.equal(answer.status, 201, await answer.clone().text());
  assert.equal((await answer.json()).reference, sha1(zips["1.0.0"]));
  assert.equal((await put("1.0.0", zips["1.0.0"], { "content-type": "application/zip" })).status, 200);
  assert.equal((await put("1.0.0", zips["1.1.0"])).status, 409);
  const { code, output } = await project.composer("require", `${NAME}:^1.0`);
  assert.equal(code, 0, output);
  assert.equal(locked().version, "1.0.0");
  assert.equal(locked().dist.shasum, sha1(zips["1.0.0"]));
  assert.equal(locked().source, undefined);
  assert.equal(project.read(`vendor/${NAME}/src/Version.php`), source("1.0.0"));
});

test("the same archive from a form is the next version", async () => {
  const form = new FormData();
  form.append("file", new Blob([zips["1.1.0"]], { type: "application/zip" }), "package.zip");
  const answer = await put("1.1.0", form);
  assert.equal(answer.status, 201, await answer.clone().text());
  const { code, output } = await project.composer("update");
  assert.equal(code, 0, output);
  assert.equal(locked().version, "1.1.0");
  assert.equal(project.read(`vendor/${NAME}/src/Version.php`), source("1.1.0"));
});

test("a yanked version is installed from a lock file, and no update takes it", async () => {
  const yank = await registry.admin(at("/versions/1.1.0/yank"), { method: "POST" });
  assert.equal(yank.status, 200, await yank.clone().text());
  project.uninstall();
  project.clearCache();
  const install = await project.composer("install");
  assert.equal(install.code, 0, install.output);
  assert.equal(locked().version, "1.1.0");
  assert.equal(project.read(`vendor/${NAME}/src/Version.php`), source("1.1.0"));
  const update = await project.composer("update");
  assert.equal(update.code, 0, update.output);
  assert.equal(locked().version, "1.0.0");
});

test("composer warns of a package that its operator calls abandoned", async () => {
  const said = await registry.admin(at(""), { method: "PATCH", json: { abandoned: "acme/successor" } });
  assert.equal(said.status, 200, await said.clone().text());
  const { code, output } = await project.composer("update");
  assert.equal(code, 0, output);
  assert.match(output, /acme\/uploaded is abandoned, you should avoid using it\. Use acme\/successor instead\./);
});

test("what people read of a package is there", async () => {
  const readme = await registry.admin(at("/readme?version=1.1.0"));
  assert.equal(readme.headers.get("content-type"), "text/markdown; charset=utf-8");
  assert.equal(await readme.text(), "# Uploaded 1.1.0\n");
  const stats = await (await registry.admin(at("/stats"))).json();
  assert.ok(stats.total >= 3 && stats.days.length >= 1, JSON.stringify(stats));
  const dependents = await registry.admin(at("/dependents"));
  assert.deepEqual(await dependents.json(), []);
  const versions = await (await registry.admin(at("/versions"))).json();
  assert.deepEqual(versions.map(({ version, yanked }) => [version, yanked]), [["1.1.0", true], ["1.0.0", false]]);
});

test("of several uploads of a version at once one is published", async () => {
  const bodies = await Promise.all(["1.2.0-a", "1.2.0-b", "1.2.0-c"].map(archive));
  const statuses = (await Promise.all(bodies.map((body) => put("1.2.0", body)))).map(({ status }) => status);
  assert.deepEqual(statuses.sort(), [201, 409, 409]);
});

test("a large zip goes through the worker's memory whole", async () => {
  const work = createProject({ url: registry.url, composerJson: { name: "acme/large" } });
  writeFileSync(join(work.folder, "noise.bin"), randomBytes(30 << 20));
  const made = await work.composer("archive", "--format=zip", "--dir=out", "--file=package");
  assert.equal(made.code, 0, made.output);
  const zip = readFileSync(join(work.folder, "out/package.zip"));
  work.remove();
  const path = "/api/packages/acme/large/versions/1.0.0";
  const sent = await registry.admin(path, { method: "PUT", body: zip });
  assert.equal(sent.status, 201, await sent.clone().text());
  const { size } = await sent.json();
  assert.equal(size, zip.length);
  const back = await registry.admin("/dist/acme/large/1.0.0.zip");
  assert.equal(sha1(Buffer.from(await back.arrayBuffer())), sha1(zip));
});

test("nothing went wrong that nobody saw", () => {
  assert.deepEqual(registry.logs.filter((line) => line.level === "error"), []);
});

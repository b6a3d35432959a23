// The main job: git repositories become Composer packages, and real composer installs them from the worker.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createProject } from "./support/composer.mjs";
import { startGitHost } from "./support/git-host.mjs";
import { register, startRegistry, syncAgain } from "./support/registry.mjs";

let host;
let registry;
let token;
let library;
let application;
let project;

const json = (value) => JSON.stringify(value, null, 2);
const source = (name) => `<?php\nnamespace Acme;\nfinal class ${name} { const NAME = '${name}'; }\n`;
const autoload = { "psr-4": { "Acme\\": "src/" } };

before(async () => {
  host = await startGitHost();
  registry = await startRegistry();
  fillHost();
  for (const [name, path] of [["acme/library"], ["acme/application"], ["monorepo", "packages/toolbox"]]) {
    const repository = await register(registry, { url: host.urlOf(name), ...(path && { path }) });
    assert.equal(repository.sync_status, "ok", repository.error);
  }
  const answer = await registry.admin("/api/tokens", { json: { description: "CI", rate_limit_max: 100_000 } });
  assert.equal(answer.status, 201);
  token = (await answer.json()).token;
  project = createProject({ url: registry.url, auth: { username: "token", password: token } });
});

after(async () => {
  project?.remove();
  await registry?.stop();
  await host?.stop();
});

/** Three packages: a library with several versions, an application that needs it, and one inside of a monorepo. */
function fillHost() {
  library = host.repository("acme/library");
  const files = (extra = {}) => ({
    "composer.json": json({ name: "acme/library", description: "Things to build on", type: "library", autoload, ...extra }),
    "src/Library.php": source("Library"),
    "bin/run": { mode: "100755", content: "#!/usr/bin/env php\n" },
    "README.md": "# Library\n",
    "tests/LibraryTest.php": "<?php\n",
    ".gitattributes": "/tests export-ignore\n",
  });
  library.commit(files());
  library.tag("v1.0.0");
  library.commit({ ...files(), "src/More.php": source("More") });
  library.tag("v1.1.0", { message: "One point one" });
  library.commit({ ...files(), "src/Next.php": source("Next") });
  library.tag("2.0.0");
  library.commit({ ...files(), "src/Edge.php": source("Edge") });
  library.tag("nightly");

  application = host.repository("acme/application");
  application.commit({
    "composer.json": json({
      name: "acme/application",
      description: "Needs the library",
      type: "library",
      autoload: { "psr-4": { "Acme\\Application\\": "src/" } },
      require: { "acme/library": "^1.0", "acme/toolbox": "*" },
    }),
    "src/Application.php": "<?php\nnamespace Acme\\Application;\nfinal class Application {}\n",
  });
  application.tag("v0.3.0");

  const monorepo = host.repository("monorepo");
  monorepo.commit({
    "composer.json": json({ name: "acme/monorepo" }),
    "packages/toolbox/composer.json": json({ name: "acme/toolbox", autoload: { "psr-4": { "Acme\\Tools\\": "src/" } } }),
    "packages/toolbox/src/Tool.php": "<?php\nnamespace Acme\\Tools;\nfinal class Tool {}\n",
    "packages/other/composer.json": json({ name: "acme/other" }),
  });
  monorepo.tag("v5.0.0");
}

const locked = (name) => project.readJson("composer.lock").packages.find((entry) => entry.name === name);

test("composer requires a package with its dependencies, one of them from a monorepo", async () => {
  const { code, output } = await project.composer("require", "acme/application");
  assert.equal(code, 0, output);
  assert.equal(locked("acme/application").version, "v0.3.0");
  assert.equal(locked("acme/library").version, "v1.1.0");
  assert.equal(locked("acme/toolbox").version, "v5.0.0");
  assert.equal(project.read("vendor/acme/library/src/More.php"), source("More"));
  assert.notEqual(project.read("vendor/acme/toolbox/src/Tool.php"), null);
  assert.equal(project.read("vendor/acme/library/tests/LibraryTest.php"), null, "export-ignore is honoured");
});

test("the lock file names the registry, a commit and a checksum, and no credentials", () => {
  const { dist } = locked("acme/library");
  const commit = library.git(["rev-parse", "v1.1.0^{commit}"]);
  assert.equal(dist.url, `${registry.url}/dist/acme/library/v1.1.0/${commit}.zip`);
  assert.equal(dist.reference, commit);
  assert.match(dist.shasum, /^[0-9a-f]{40}$/);
  assert.ok(!project.read("composer.lock").includes(token));
});

test("an update with a warm cache asks for nothing anew", async () => {
  const { code, output } = await project.composer("update", "-vvv");
  assert.equal(code, 0, output);
  const answers = output.split("\n").filter((line) => /^\[\d{3}\] http:\/\/127/.test(line));
  const statuses = answers.filter((line) => line.includes(".json")).map((line) => line.slice(1, 4));
  assert.ok(statuses.length >= 4, output);
  assert.deepEqual([...new Set(statuses)], ["304"], answers.join("\n"));
});

test("an install from the lock file needs the archives alone", async () => {
  project.uninstall();
  project.clearCache();
  const { code, output } = await project.composer("install", "-vvv");
  assert.equal(code, 0, output);
  assert.notEqual(project.read("vendor/acme/library/src/More.php"), null);
  assert.ok(!/\/p2\//.test(output), output);
});

test("dev-main and a constraint choose the versions they mean", async () => {
  const other = createProject({ url: registry.url, auth: { bearer: token } });
  try {
    const main = await other.composer("require", "acme/library:dev-main");
    assert.equal(main.code, 0, main.output);
    const [entry] = other.readJson("composer.lock").packages;
    assert.equal(entry.version, "dev-main");
    assert.equal(entry["default-branch"], true);
    assert.notEqual(other.read("vendor/acme/library/src/Edge.php"), null);
    const constrained = await other.composer("require", "acme/library:~1.0.0");
    assert.equal(constrained.code, 0, constrained.output);
    assert.equal(other.readJson("composer.lock").packages[0].version, "v1.0.0");
  } finally {
    other.remove();
  }
});

test("search and show find the packages", async () => {
  const search = await project.composer("search", "build on");
  assert.equal(search.code, 0, search.output);
  assert.match(search.stdout, /acme\/library\s+Things to build on/);
  const show = await project.composer("show", "-a", "acme/library");
  assert.equal(show.code, 0, show.output);
  assert.match(show.stdout, /versions\s*:.*2\.0\.0.*v1\.1\.0.*v1\.0\.0/);
  const all = await project.composer("show", "-a");
  assert.match(all.output, /acme\/toolbox/);
});

test("a new tag is installed after the next sync, and a moved branch leaves its old commit downloadable", async () => {
  const before = library.git(["rev-parse", "main"]);
  const old = `/dist/acme/library/dev-main/${before}.zip`;
  const headers = { authorization: `Bearer ${token}` };
  assert.equal((await registry.request(old, { headers })).status, 200);
  library.commit({
    "composer.json": json({ name: "acme/library", autoload }),
    "src/Library.php": source("Library"),
    "src/Patch.php": source("Patch"),
  });
  library.tag("v1.1.1");
  await syncAgain(registry, host.urlOf("acme/library"));
  const { code, output } = await project.composer("update");
  assert.equal(code, 0, output);
  assert.equal(locked("acme/library").version, "v1.1.1");
  assert.notEqual(project.read("vendor/acme/library/src/Patch.php"), null);
  assert.equal((await registry.request(old, { headers })).status, 200);
});

test("the history of syncs says what was skipped and why", async () => {
  const repositories = await (await registry.admin("/api/repositories")).json();
  const { id } = repositories.find((repository) => repository.package === "acme/library");
  const runs = await (await registry.admin(`/api/repositories/${id}/syncs`)).json();
  assert.equal(runs.length, 2);
  assert.deepEqual([runs[0].status, runs[0].added, runs[0].changed, runs[0].removed], ["ok", 1, 1, 0]);
  assert.ok(runs[0].requests <= 2 && runs[0].received_bytes > 0, JSON.stringify(runs[0]));
  assert.deepEqual(runs[0].skipped.map((skipped) => skipped.ref), ["refs/tags/nightly"]);
  assert.match(runs[0].skipped[0].reason, /nightly/);
});

test("installs are counted", async () => {
  const answer = await registry.admin("/api/packages?search=acme/library");
  const [entry] = await answer.json();
  assert.ok(entry.downloads >= 4, JSON.stringify(entry));
});

test("a registry that was restarted serves what it had, without a sync", async () => {
  await registry.restart();
  project.uninstall();
  project.clearCache();
  host.forget();
  const { code, output } = await project.composer("install");
  assert.equal(code, 0, output);
  assert.deepEqual(host.log, []);
});

test("a revoked token is refused in words that composer prints", async () => {
  const list = await (await registry.admin("/api/tokens")).json();
  const [{ id }] = list.filter((entry) => entry.description === "CI");
  assert.equal((await registry.admin(`/api/tokens/${id}`, { method: "DELETE" })).status, 200);
  project.clearCache();
  const { code, output } = await project.composer("update");
  assert.notEqual(code, 0);
  assert.match(output, /This token is not valid/);
});

test("nothing went wrong that nobody saw", () => {
  assert.deepEqual(registry.logs.filter((line) => line.level === "error"), []);
});

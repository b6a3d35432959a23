// `composer require acme/lib:dev-main#{commit}`: composer installs that commit from the worker, and says which ones it cannot have.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createProject } from "./support/composer.mjs";
import { startGitHost } from "./support/git-host.mjs";
import { issueToken, register, startRegistry } from "./support/registry.mjs";

let host;
let registry;
let project;
/** The ids of the commits on main, the oldest first. */
let commits;

before(async () => {
  host = await startGitHost();
  registry = await startRegistry();
  const library = host.repository("acme/library");
  const manifest = JSON.stringify({ name: "acme/library", description: "Things to build on" });
  commits = ["First", "Second", "Third"].map((name) => library.commit({ "composer.json": manifest, [`src/${name}.php`]: "<?php\n" }));
  const repository = await register(registry, { url: host.urlOf("acme/library") });
  assert.equal(repository.sync_status, "ok", repository.error);
  const { token } = await issueToken(registry);
  project = createProject({ url: registry.url, auth: { username: "token", password: token } });
});

after(async () => {
  project?.remove();
  await registry?.stop();
  await host?.stop();
});

const has = (name) => project.read(`vendor/acme/library/src/${name}.php`) !== null;

test("a branch is installed at the commit that it is pinned to", async () => {
  const { code, output } = await project.composer("require", `acme/library:dev-main#${commits[0]}`);
  assert.equal(code, 0, output);
  assert.deepEqual(["First", "Second", "Third"].map(has), [true, false, false]);
  const [{ dist }] = project.readJson("composer.lock").packages;
  assert.equal(dist.reference, commits[0]);
});

test("the lock file of a pinned branch installs the same commit again", async () => {
  project.uninstall();
  project.clearCache();
  const { code, output } = await project.composer("install");
  assert.equal(code, 0, output);
  assert.deepEqual(["First", "Second", "Third"].map(has), [true, false, false]);
});

test("without a commit the branch is installed as it is", async () => {
  const { code, output } = await project.composer("require", "acme/library:dev-main");
  assert.equal(code, 0, output);
  assert.deepEqual(["First", "Second", "Third"].map(has), [false, false, true]);
});

test("a commit that the git server does not have is refused in words that composer prints", async () => {
  const absent = "c0ffee".repeat(7).slice(0, 40);
  const { code, output } = await project.composer("require", `acme/library:dev-main#${absent}`, "--prefer-dist");
  assert.notEqual(code, 0, output);
  assert.match(output.replace(/\s+/g, " "), new RegExp(`does not have commit ${absent}`));
});

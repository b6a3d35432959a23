// Git hosts that know no version 2 of git's protocol: from the real `git http-backend` to real composer.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createProject } from "./support/composer.mjs";
import { startGitHost } from "./support/git-host.mjs";
import { issueToken, register, startRegistry, syncAgain, versionsOf } from "./support/registry.mjs";

/** What a host offers besides whole commits of its branches and tags. */
const OFFERS = [
  { protocol: 0, filters: false, anyObject: false },
  { protocol: 0, filters: true, anyObject: true },
  { protocol: 1, filters: false, anyObject: true },
  { protocol: 1, filters: true, anyObject: false },
];

let registry;
let token;

before(async () => {
  registry = await startRegistry();
  token = (await issueToken(registry)).token;
});

after(() => registry?.stop());

const php = (text) => `<?php\n// ${text}\n`;

/** Runs composer in a project and fails with its words when it fails. */
async function composer(project, ...args) {
  const { code, output } = await project.composer(...args);
  assert.equal(code, 0, output);
}

/** Gives `use` a project that knows the registry. */
async function inProject(use) {
  const project = createProject({ url: registry.url, auth: { bearer: token } });
  try {
    await use(project);
  } finally {
    project.remove();
  }
}

for (const [number, offer] of OFFERS.entries()) {
  const name = `old${number}/lib`;
  const files = (text) => ({
    "composer.json": JSON.stringify({ name, type: "library" }),
    "src/Lib.php": php(text),
    "packages/part/composer.json": JSON.stringify({ name: `old${number}/part`, type: "library" }),
    "packages/part/Part.php": php(`part ${text}`),
  });

  test(`composer installs from a host of version ${offer.protocol}, filters: ${offer.filters}, any object: ${offer.anyObject}`, async () => {
    const host = await startGitHost(offer);
    try {
      const library = host.repository(name);
      library.commit(files("one"));
      library.tag("v1.0.0", { message: "One" });
      const second = library.commit(files("two"));
      library.tag("v1.1.0");
      library.commit(files("feature"), { branch: "feature" });
      const head = library.commit(files("head"));
      const repository = await register(registry, { url: host.urlOf(name) });
      assert.equal(repository.sync_status, "ok", repository.error);
      const versions = await versionsOf(registry, repository.id);
      assert.deepEqual(versions.map((entry) => entry.version).sort(), ["dev-feature", "dev-main", "v1.0.0", "v1.1.0"]);
      assert.equal(versions.find((entry) => entry.version === "v1.1.0").reference, second);
      const asked = (method) => [...new Set(host.log.filter((entry) => entry.method === method).map((entry) => entry.protocol))];
      assert.deepEqual([asked("GET"), asked("POST")], [["version=2"], [null]]);

      await inProject(async (project) => {
        for (const [version, text] of [["1.0.0", "one"], ["^1.0", "two"], ["dev-feature", "feature"], ["dev-main", "head"]]) {
          await composer(project, "require", `${name}:${version}`);
          project.uninstall();
          project.clearCache();
          await composer(project, "install");
          assert.equal(project.read(`vendor/${name}/src/Lib.php`), php(text), version);
        }
        assert.equal(project.readJson("composer.lock").packages[0].dist.reference, head);
        // git http-backend sends what can be reached from a branch even where it does not offer that.
        await composer(project, "require", `${name}:dev-main#${second}`);
        assert.equal(project.read(`vendor/${name}/src/Lib.php`), php("two"));
      });

      host.forget();
      await syncAgain(registry, host.urlOf(name));
      assert.deepEqual(host.log.map((entry) => entry.method), ["GET"], "nothing is new");
      library.commit(files("three"));
      library.tag("v2.0.0", { message: "Three" });
      await syncAgain(registry, host.urlOf(name));
      await inProject(async (project) => {
        await composer(project, "require", `${name}:^2.0`);
        assert.equal(project.read(`vendor/${name}/src/Lib.php`), php("three"));
      });
    } finally {
      await host.stop();
    }
  });

  test(`a package in a directory comes from a host of version ${offer.protocol}, filters: ${offer.filters}, any object: ${offer.anyObject}`, async () => {
    const host = await startGitHost(offer);
    try {
      const all = host.repository(`old${number}/all`);
      all.commit(files("one"));
      all.tag("v1.0.0", { message: "One" });
      const repository = await register(registry, { url: host.urlOf(`old${number}/all`), path: "packages/part" });
      assert.equal(repository.sync_status, "ok", repository.error);
      await inProject(async (project) => {
        await composer(project, "require", `old${number}/part:^1.0`);
        assert.equal(project.read(`vendor/old${number}/part/Part.php`), php("part one"));
        assert.equal(project.read(`vendor/old${number}/part/src/Lib.php`), null);
      });
    } finally {
      await host.stop();
    }
  });
}

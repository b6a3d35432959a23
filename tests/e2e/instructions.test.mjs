// What a shop shows its customers to be copied, copied: each line into a real shell with real composer, the JSON into
// auth.json, and its text into the environment of CI.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createProject } from "./support/composer.mjs";
import { ADMIN_TOKEN, startRegistry } from "./support/registry.mjs";
import { createStorefrontClient } from "./support/storefront.mjs";
import { storedZip } from "./support/zip.mjs";

/** Every version of each package. */
const PACKAGES = {
  "acme/extension": ["1.0.0", "1.1.0", "2.0.0"],
  "acme/theme": ["1.0.0", "1.1.0-beta2", "2.0.0-RC1"],
  "acme/ranged": ["1.4.0", "1.5.0-beta1", "2.0.0"],
  "acme/preview": ["1.0.0-alpha1"],
  "other/bundled": ["3.0.0"],
};
/** Keys of an older product, as they moved here: a shell takes much of them for something else. */
const MOVED = { publickey: "-it's$HOME;key!!", privatekey: `-p"a&ss|w'ord\`$(id)*?#~` };

let registry;
let request;
const projects = [];

/** A project that knows no repository at all. */
function emptyProject(composerJson = {}) {
  const project = createProject({
    url: registry.url,
    composerJson: { repositories: [{ "packagist.org": false }], ...composerJson },
  });
  projects.push(project);
  return project;
}

function installed(project) {
  const { packages } = project.readJson("composer.lock");
  return Object.fromEntries(packages.map(({ name, version }) => [name, version]));
}

async function paste(project, lines, env) {
  for (const line of lines) {
    const { code, output } = await project.shell(line, env);
    assert.equal(code, 0, `${line}\n${output}`);
  }
}

async function consumerWith(entitlements, fields = {}) {
  const consumer = await request("POST", "/consumers", { json: { email: "one@example.com", ...fields }, status: 201 });
  await request("PUT", `/consumers/${consumer.id}/entitlements`, { json: entitlements });
  return { consumer, told: await request("GET", `/consumers/${consumer.id}/instructions`) };
}

const SOLD = [
  { package: "acme/extension", version: "1.*", minimum_stability: "stable" },
  { package: "acme/theme", version: "1.*", minimum_stability: "beta" },
  { package: "acme/ranged", version: ">=1.0 <2.0", minimum_stability: "beta" },
  { package: "acme/preview", version: "*", minimum_stability: "alpha" },
  { package: "other/*", version: "*", minimum_stability: "stable" },
];
const INSTALLED = {
  "acme/extension": "1.1.0",
  "acme/theme": "1.1.0-beta2",
  "acme/ranged": "1.5.0-beta1",
  "acme/preview": "1.0.0-alpha1",
  "other/bundled": "3.0.0",
};

before(async () => {
  registry = await startRegistry();
  ({ request } = await createStorefrontClient(registry));
  for (const [name, versions] of Object.entries(PACKAGES)) {
    for (const version of versions) {
      const zip = storedZip({ "composer.json": JSON.stringify({ name }), "VERSION": version });
      const answer = await registry.request(`/api/packages/${name}/versions/${version}`, {
        method: "PUT",
        body: zip,
        headers: { authorization: `Bearer ${ADMIN_TOKEN}`, connection: "close" },
      });
      assert.equal(answer.status, 201, await answer.text());
    }
  }
});
after(async () => {
  for (const project of projects) project.remove();
  await registry?.stop();
});

test("each line, copied into a shell, does what it says", async () => {
  const { told } = await consumerWith([
    ...SOLD,
    { package: "acme/extension", version: "9.*" },
    { package: "acme/never-made", version: "*" },
  ]);
  assert.deepEqual(told.unavailable.map(({ package: name, code }) => [name, code]), [
    ["acme/extension", "no_version"],
    ["acme/never-made", "no_package"],
  ]);
  const project = emptyProject();
  await paste(project, told.commands);
  assert.deepEqual(installed(project), INSTALLED);
  assert.equal(project.read("vendor/acme/theme/VERSION"), "1.1.0-beta2");
  // What the customer commits holds no credentials.
  const { password } = Object.values(told.auth_json["http-basic"])[0];
  assert.ok(!project.read("composer.json").includes(password) && !project.read("composer.lock").includes(password));
});

test("the same requirements are for composer.json, the same credentials for auth.json and for CI", async () => {
  const { told } = await consumerWith(SOLD);
  const composerJson = { repositories: [...told.repositories, { "packagist.org": false }], require: told.require };
  const byFile = emptyProject(composerJson);
  writeFileSync(join(byFile.folder, "auth.json"), JSON.stringify(told.auth_json));
  await paste(byFile, ["composer update"]);
  const byEnvironment = emptyProject(composerJson);
  await paste(byEnvironment, ["composer update"], { COMPOSER_AUTH: told.composer_auth });
  for (const project of [byFile, byEnvironment]) assert.deepEqual(installed(project), INSTALLED);
  const { code } = await emptyProject(composerJson).shell("composer update");
  assert.notEqual(code, 0, "the packages are for nobody without credentials");
});

test("keys that moved here from an older product are copied whole, whatever they hold", async () => {
  const { consumer, told } = await consumerWith(SOLD.slice(0, 1), MOVED);
  assert.deepEqual([consumer.public_key, consumer.private_key], [MOVED.publickey, MOVED.privatekey]);
  const project = emptyProject();
  await paste(project, told.commands);
  assert.deepEqual(installed(project), { "acme/extension": "1.1.0" });
});

test("whoever has a seat puts their token in the place of the password", async () => {
  const { consumer } = await consumerWith(SOLD.slice(0, 1), { seats: 1 });
  const seat = await request("POST", `/consumers/${consumer.id}/tokens`, { json: { description: "Ann" }, status: 201 });
  const { commands } = await request("GET", `/consumers/${consumer.id}/instructions?token=${seat.id}`);
  const project = emptyProject();
  await paste(project, commands.map((line) => line.replace("'<password>'", seat.token)));
  assert.deepEqual(installed(project), { "acme/extension": "1.1.0" });
});

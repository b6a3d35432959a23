// Two organizations side by side with real composer: the same package name in both, with versions of their own.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createProject } from "./support/composer.mjs";
import { ADMIN_TOKEN, startRegistry } from "./support/registry.mjs";
import { storedZip } from "./support/zip.mjs";

let registry;
/** The slug of each → its token. */
const tokens = {};
const projects = [];

/** A request of the operator in one organization; the answer's body, when the status is the one expected. */
async function operator(slug, method, path, json, status) {
  const headers = { authorization: `Bearer ${ADMIN_TOKEN}`, "x-rostrum-organization": slug };
  const sent = json instanceof Uint8Array ? { body: json } : { body: JSON.stringify(json) };
  const answer = await registry.request(path, { method, headers: { ...headers, connection: "close" }, ...sent });
  const text = await answer.text();
  assert.equal(answer.status, status, `${method} ${path}: ${text}`);
  return JSON.parse(text);
}

const upload = (slug, name, version) =>
  operator(slug, "PUT", `/api/packages/${name}/versions/${version}`, zipOf(name, slug), 201);
const zipOf = (name, slug) => storedZip({ "composer.json": JSON.stringify({ name }), "from.txt": slug });

/** A project that knows the repository of one organization alone. */
function projectOf(slug, token = tokens[slug]) {
  const project = createProject({ url: `${registry.url}/org/${slug}`, auth: { username: "token", password: token } });
  projects.push(project);
  return project;
}

/** Runs composer, which has to succeed; what it printed. */
async function composer(project, ...args) {
  const { code, output } = await project.composer(...args);
  assert.equal(code, 0, output);
  return output;
}

/** An answer to whoever has this token and is not composer. */
async function plain(path, token, options = {}) {
  const answer = await registry.request(path, { headers: { authorization: `Bearer ${token}`, connection: "close" }, ...options });
  return { status: answer.status, body: await answer.json() };
}

before(async () => {
  registry = await startRegistry();
  await operator("default", "POST", "/api/organizations", { name: "Acme Inc.", slug: "acme" }, 201);
  for (const [slug, version] of [["default", "1.0.0"], ["acme", "2.0.0"]]) {
    await upload(slug, "shared/lib", version);
    const path = `/api/organizations/${slug}/tokens`;
    tokens[slug] = (await operator(slug, "POST", path, { name: "CI", scopes: ["packages:read"] }, 201)).data.token;
  }
});

after(async () => {
  for (const project of projects) project.remove();
  await registry?.stop();
});

test("composer installs of each organization what that has under the same name", async () => {
  for (const [slug, version] of [["default", "1.0.0"], ["acme", "2.0.0"]]) {
    const project = projectOf(slug);
    await composer(project, "require", "shared/lib");
    const [locked] = project.readJson("composer.lock").packages;
    assert.equal(locked.version, version, slug);
    assert.ok(locked.dist.url.startsWith(`${registry.url}/org/${slug}/dist/shared/lib/${version}/`), locked.dist.url);
    await composer(project, "update");
    await composer(project, "audit");
    assert.match(await composer(project, "search", "shared"), /shared\/lib/);
    const { body } = await plain("/api/packages", ADMIN_TOKEN, {
      headers: { authorization: `Bearer ${ADMIN_TOKEN}`, "x-rostrum-organization": slug, connection: "close" },
    });
    assert.equal(body[0].downloads, 1, `an install counts in ${slug}`);
  }
});

test("the root and the organization default are one", async () => {
  const project = createProject({ url: registry.url, auth: { username: "token", password: tokens.default } });
  projects.push(project);
  await composer(project, "require", "shared/lib");
  assert.equal(project.readJson("composer.lock").packages[0].version, "1.0.0");
});

test("a stranger's organization is not there", async () => {
  const project = projectOf("acme", tokens.default);
  const { code, output } = await project.composer("require", "shared/lib");
  assert.notEqual(code, 0);
  assert.match(output, /Organization not found/);
  const foreign = await plain("/api/organizations/acme", tokens.default);
  assert.deepEqual(foreign, await plain("/api/organizations/nowhere", tokens.default));
  assert.equal(foreign.status, 404);
});

test("other programs get every package with every version, and the zips of those", async () => {
  await upload("acme", "shared/other", "1.0.0");
  const { status, body } = await plain("/org/acme/packages.json", tokens.acme);
  assert.equal(status, 200);
  assert.deepEqual(Object.keys(body.packages), ["shared/lib", "shared/other"]);
  const { dist, name } = body.packages["shared/lib"]["2.0.0"];
  assert.equal(name, "shared/lib");
  assert.equal(dist.url, `${registry.url}/org/acme/packages/shared/lib/2.0.0.zip`);
  const zip = await registry.request(dist.url, { headers: { authorization: `Bearer ${tokens.acme}` } });
  assert.deepEqual(Buffer.from(await zip.arrayBuffer()), Buffer.from(zipOf("shared/lib", "acme")));
  const one = await plain("/org/acme/p2/shared/lib.json", tokens.acme);
  assert.deepEqual(one.body.packages["shared/lib"], body.packages["shared/lib"]);
});

// The API document says what there is, and nothing else.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { root } from "../../scripts/lib/paths.mjs";
import { startRegistry } from "./support/registry.mjs";

let registry;
let document;
before(async () => {
  registry = await startRegistry();
  document = await (await registry.request("/api/openapi.json")).json();
});
after(() => registry?.stop());

const METHODS = ["get", "put", "post", "delete", "patch"];

/** Every operation of the document: `{ method, path, operation }`. */
const operations = () =>
  Object.entries(document.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => method in item).map((method) => ({ method: method.toUpperCase(), path, operation: item[method] })),
  );

/** The handlers in the source that have an entry for the document. */
function handlers() {
  const folder = join(root, "src/http");
  const files = readdirSync(folder, { recursive: true }).filter((name) => name.endsWith(".rs"));
  const source = files.map((name) => readFileSync(join(folder, name), "utf8")).join("\n");
  const entries = [...source.matchAll(/#\[utoipa::path\(([^]*?)\)\]\s*pub async fn (\w+)/g)];
  // A handler of PUT and PATCH has two names.
  const twins = entries.filter(([, entry]) => entry.includes("method(put, patch)")).map((match) => match[2].replace("update_", "replace_"));
  return [...entries.map((match) => match[2]), ...twins].sort();
}

test("every handler with an entry is registered, under its own name", () => {
  assert.match(document.openapi, /^3\./);
  const ids = operations().map(({ operation }) => operation.operationId);
  assert.equal(new Set(ids).size, ids.length);
  // What every organization has at its own address is done by the handler of the root.
  const names = new Set(ids.map((id) => id.replace(/^organization_/, "")));
  assert.ok(names.size >= 21, ids.join(" "));
  assert.deepEqual([...names].sort(), handlers());
});

/** What everybody may ask. */
const PUBLIC = [
  "/api/auth/accept-invitation", "/api/auth/login", "/api/auth/reset", "/api/auth/setup", "/api/openapi.json", "/api/swagger",
  "/health",
];

test("every operation is there, and asks for credentials unless it says that it is public", async () => {
  const open = [];
  for (const { method, path, operation } of operations()) {
    const what = `${method} ${path}`;
    const answer = await registry.request(path.replace(/\{\w+\}/g, "x"), { method });
    assert.ok(answer.status in operation.responses, `${what}: ${answer.status}`);
    assert.ok(operation.summary?.length > 3, what);
    const isPublic = operation.security?.some((scheme) => Object.keys(scheme).length === 0) ?? false;
    if (isPublic) open.push(path);
    assert.equal(answer.status === 401, !isPublic, what);
  }
  assert.deepEqual(open.sort(), PUBLIC);
});

test("every path parameter is described, and every reference leads somewhere", () => {
  for (const { path, operation } of operations()) {
    const captured = [...path.matchAll(/\{([^}]*)\}/g)].map((match) => match[1]);
    const described = (operation.parameters ?? []).filter((parameter) => parameter.in === "path").map((parameter) => parameter.name);
    assert.deepEqual(described.sort(), captured.sort(), path);
  }
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g)].map((match) => match[1]);
  assert.ok(references.length > 0);
  for (const reference of new Set(references)) {
    const target = reference.split("/").reduce((value, key) => value?.[key], document);
    assert.notEqual(target, undefined, reference);
  }
});

test("what is public is so whatever credentials come along", async () => {
  for (const path of ["/health", "/api/openapi.json", "/api/swagger/"]) {
    for (const headers of [{}, { authorization: "Bearer wrong" }, { "user-agent": "Composer/1.10.27" }]) {
      assert.equal((await registry.request(path, { headers })).status, 200, path);
    }
  }
});

test("the document is served as it is checked in, and only when it has changed", async () => {
  const answer = await registry.request("/api/openapi.json");
  assert.equal(await answer.text(), readFileSync(join(root, "public/api/openapi.json"), "utf8"));
  assert.equal(answer.headers.get("content-type"), "application/json");
  assert.equal(answer.headers.get("cache-control"), "public, max-age=0, must-revalidate");
  const again = { headers: { "if-none-match": answer.headers.get("etag") } };
  assert.equal((await registry.request("/api/openapi.json", again)).status, 304);
  const head = await registry.request("/api/openapi.json", { method: "HEAD" });
  assert.deepEqual([head.status, await head.text()], [200, ""]);
});

test("Swagger UI is a page that asks nobody but its own registry", async () => {
  const bare = await registry.request("/api/swagger");
  assert.deepEqual([bare.status, bare.headers.get("location")], [307, "/api/swagger/"]);
  const answer = await registry.request("/api/swagger/");
  assert.equal(answer.headers.get("content-type"), "text/html; charset=utf-8");
  const policy = answer.headers.get("content-security-policy");
  assert.match(policy, /^default-src 'none'; script-src 'self'; style-src 'self'; /);
  assert.doesNotMatch(policy, /unsafe|\*|https?:/);
  const page = await answer.text();
  const named = [...page.matchAll(/(?:href|src)="([^"]+)"/g)].map((match) => match[1]);
  assert.equal(named.length, 4);
  for (const name of named) {
    const file = await registry.request(`/api/swagger/${name}`);
    assert.equal(file.status, 200, name);
    assert.equal(file.headers.get("x-content-type-options"), "nosniff", name);
    assert.ok((await file.arrayBuffer()).byteLength > 100, name);
  }
  const start = await (await registry.request("/api/swagger/start.js")).text();
  const [, url] = /\burl: "([^"]+)"/.exec(start);
  assert.equal(new URL(url, new URL("/api/swagger/", registry.url)).pathname, "/api/openapi.json");
});

test("assets stand in nobody's way: every other address is the registry's, in its own words", async () => {
  for (const path of ["/_headers", "/api/_headers", "/api/openapi", "/api/swagger/nothing", "/api/swagger/..%2f..%2f_headers", "/index.html", "/"]) {
    const answer = await registry.request(path);
    assert.equal(answer.status, 404, path);
    assert.equal((await answer.json()).code, "NOT_FOUND", path);
  }
  const wrong = await registry.request("/api/openapi.json", { method: "POST" });
  assert.deepEqual([wrong.status, (await wrong.json()).code], [405, "METHOD_NOT_ALLOWED"]);
});

test("no file can shadow a package, because the worker is asked first", async () => {
  const { unstable_readConfig: readConfig } = await import("wrangler");
  const { assets } = readConfig({ config: join(root, "wrangler.toml") });
  assert.equal(assets.run_worker_first, true);
});

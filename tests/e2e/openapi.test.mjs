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
  const answer = await registry.request("/api/openapi.json");
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get("content-type"), "application/json");
  document = await answer.json();
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
  return [...source.matchAll(/#\[utoipa::path\([^]*?\)\]\s*pub async fn (\w+)/g)].map((match) => match[1]).sort();
}

test("every handler with an entry is registered, under its own name", () => {
  assert.match(document.openapi, /^3\./);
  const ids = operations().map(({ operation }) => operation.operationId).sort();
  assert.ok(ids.length >= 18, ids.join(" "));
  assert.deepEqual(ids, handlers());
});

test("every operation is there, and asks for credentials", async () => {
  for (const { method, path, operation } of operations()) {
    const what = `${method} ${path}`;
    const answer = await registry.request(path.replace(/\{\w+\}/g, "x"), { method });
    assert.equal(answer.status, 401, what);
    assert.ok("401" in operation.responses, what);
    assert.ok(operation.summary?.length > 3, what);
  }
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

test("health and the document itself are public, whatever credentials come along", async () => {
  for (const path of ["/health", "/api/openapi.json"]) {
    for (const headers of [{}, { authorization: "Bearer wrong" }, { "user-agent": "Composer/1.10.27" }]) {
      assert.equal((await registry.request(path, { headers })).status, 200, path);
    }
  }
});

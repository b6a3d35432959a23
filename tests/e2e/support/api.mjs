// A client that knows the registry from its API document alone: what the document does not tell of, it cannot ask, and
// an answer that the document does not tell of is an error.

import assert from "node:assert/strict";

const METHODS = ["get", "put", "post", "delete", "patch"];

/** Reads the document of `registry` and resolves to a client of it. */
export async function readDocument(registry) {
  const document = await (await registry.request("/api/openapi.json")).json();
  const operations = new Map();
  for (const [path, item] of Object.entries(document.paths)) {
    for (const method of METHODS.filter((name) => name in item)) {
      operations.set(item[method].operationId, { method: method.toUpperCase(), path, ...item[method] });
    }
  }
  const named = (schema) => {
    const reference = schema?.$ref;
    return reference === undefined ? schema : named(reference.slice(2).split("/").reduce((value, key) => value[key], document));
  };
  /** The fields that an object of this schema may have; `null` when it may have any. */
  const fields = (schema) => {
    const { properties, allOf, oneOf, additionalProperties } = named(schema) ?? {};
    const parts = [...(allOf ?? []), ...(oneOf ?? [])].map(fields).filter((part) => part !== null);
    if (additionalProperties || (properties === undefined && parts.length === 0)) return null;
    return Object.assign({}, properties, ...parts);
  };
  /** The places in `value` that the schema does not tell of. */
  const unknown = (value, schema, place = "") => {
    if (Array.isArray(value)) return value.flatMap((item) => unknown(item, named(schema)?.items, `${place}[]`));
    const known = value !== null && typeof value === "object" ? fields(schema) : null;
    if (known === null) return [];
    return Object.entries(value).flatMap(([name, inner]) =>
      name in known ? unknown(inner, known[name], `${place}.${name}`) : [`${place}.${name}`],
    );
  };
  const succeeded = new Set();

  /**
   * Asks for the operation `id`. `at`: the values of its path's parameters; `query` and `headers`: of the others; `json`
   * or `body`: what is sent. Resolves to the answer's body, parsed if it is JSON, or to `{ status, headers, body }` with
   * `whole`. The answer must have `status`, which is by itself the least that the document promises.
   */
  async function call(id, { token, at = {}, query = {}, headers = {}, json, body, status, whole = false } = {}) {
    const operation = operations.get(id);
    assert.ok(operation, `the document knows no operation ${id}`);
    const parameters = (operation.parameters ?? []).map(named);
    const has = (name, place) => parameters.some((parameter) => parameter.in === place && parameter.name === name);
    for (const name of Object.keys(query)) assert.ok(has(name, "query"), `${id} has no parameter ${name}`);
    for (const name of Object.keys(headers)) assert.ok(has(name, "header"), `${id} has no header ${name}`);
    const path = operation.path.replace(/\{(\w+)\}/g, (_, name) => {
      assert.ok(name in at, `${id} needs ${name}`);
      return encodeURIComponent(at[name]);
    });
    if (json !== undefined) {
      const schema = operation.requestBody?.content["application/json"]?.schema;
      assert.ok(schema, `${id} takes no JSON`);
      assert.deepEqual(unknown(json, schema), [], `${id} does not take this`);
    }
    const search = new URLSearchParams(query).toString();
    const answer = await registry.request(search === "" ? path : `${path}?${search}`, {
      method: operation.method,
      body: json === undefined ? body : JSON.stringify(json),
      headers: {
        connection: "close",
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(json === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
    });
    const text = await answer.text();
    const what = `${id}: ${answer.status} ${text.slice(0, 500)}`;
    assert.ok(answer.status in operation.responses, `the document does not tell of ${what}`);
    const expected = status ?? Number(Object.keys(operation.responses)[0]);
    assert.equal(answer.status, expected, what);
    const type = answer.headers.get("content-type")?.split(";")[0];
    const schema = named(operation.responses[answer.status]).content?.[type]?.schema;
    const parsed = type === "application/json" ? JSON.parse(text) : text;
    assert.deepEqual(unknown(parsed, schema), [], `the document does not tell of this in ${what}`);
    if (answer.status < 400) succeeded.add(id);
    return whole ? { status: answer.status, headers: answer.headers, body: parsed } : parsed;
  }

  return {
    call,
    /** All operations: `{ operationId, method, path, … }` as the document has them. */
    operations: () => [...operations.values()],
    /** The operations of the management API, the storefront's aside, that were never asked with success. */
    uncalled: () => [...operations].filter(([id, { path }]) => /^\/api\/(?!storefront\/)/.test(path) && !succeeded.has(id)).map(([id]) => id),
  };
}

// The back end of a shop, as the storefront API sees it.

import assert from "node:assert/strict";
import { issueToken } from "./registry.mjs";

/** A shop with a token of its own: `{ token, request(method, path, options) }`. */
export async function createStorefrontClient(registry) {
  const { token } = await issueToken(registry, { description: "The shop", scopes: ["storefront:*"] });

  /** A request to the storefront; the answer's body, when the status is the one expected. */
  async function request(method, path, { json, status = 200, headers = {} } = {}) {
    const answer = await registry.request(`/api/storefront${path}`, {
      method,
      body: json === undefined ? undefined : JSON.stringify(json),
      headers: { authorization: `Bearer ${token}`, connection: "close", ...headers },
    });
    const text = await answer.text();
    assert.equal(answer.status, status, `${method} ${path}: ${text}`);
    return text === "" ? null : JSON.parse(text);
  }

  return { token, request };
}

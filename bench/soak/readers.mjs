// Visitors that change nothing: programs that ask as composer does, composer itself, and those whose credentials are bad.

import { createHash, randomBytes } from "node:crypto";
import { createProject } from "../../tests/e2e/support/composer.mjs";
import { basic } from "../load-client.mjs";
import { plainToken } from "../registry.mjs";
import { freshAddress } from "./connection.mjs";
import { LIBRARIES, MIRRORED, oneOf, pause } from "./world.mjs";

const COMPOSER = { "user-agent": "Composer/2.8.1 (Linux; 6.1.0; PHP 8.2.20; cURL 7.88.1)", accept: "*/*" };

/** The headers of a composer with this token, or with a consumer's keys as `user` and `token`. */
export const asComposer = (credential) => ({ ...COMPOSER, authorization: basic(credential) });

/** The same from an address that nobody has come from, for a credential that is to be refused. */
export const asStranger = (credential) => ({ ...asComposer(credential), "cf-connecting-ip": freshAddress() });

export const sha1 = (bytes) => createHash("sha1").update(bytes).digest("hex");

/** The versions in a p2 document for composer: version → its metadata. */
export function expand(body, name) {
  const versions = new Map();
  let whole = {};
  for (const difference of JSON.parse(body).packages[name] ?? []) {
    whole = { ...whole, ...difference };
    for (const [field, value] of Object.entries(difference)) if (value === "__unset") delete whole[field];
    versions.set(whole.version, whole);
  }
  return versions;
}

/** Asks for the root, for metadata, again for what it has, and for zips. */
export async function composerLike({ ask }, world, isOver) {
  const headers = asComposer({ token: oneOf(world.readers) });
  /** Path → `Last-Modified` of what it has. */
  const known = new Map();
  const read = async (kind, path, expected) => {
    const since = known.get(path);
    const conditional = since === undefined ? {} : { "if-modified-since": since };
    const answer = await ask(kind, { path, headers: { ...headers, ...conditional }, expected });
    if (answer?.status === 200) known.set(path, answer.headers["last-modified"]);
    return answer;
  };
  while (!isOver()) {
    await read("packages.json", "/packages.json", [200, 304]);
    for (const name of [oneOf(LIBRARIES), oneOf(LIBRARIES), oneOf(MIRRORED)]) {
      const answer = await read("p2", `/p2/${name}.json`, [200, 304, 404]);
      await read("p2 of dev versions", `/p2/${name}~dev.json`, [200, 304, 404]);
      await pause(500, 2000);
      if (answer?.status !== 200) continue;
      const metadata = oneOf([...expand(answer.body, name).values()]);
      if (metadata === undefined) continue;
      const zip = await ask("dist", { path: new URL(metadata.dist.url).pathname, headers });
      if (zip?.status === 200 && metadata.dist.shasum && sha1(zip.body) !== metadata.dist.shasum) {
        world.records.tell(`the zip of ${name} ${metadata.version} is another one than its metadata promises`);
      }
    }
    const absent = `/p2/soak/absent-${Math.floor(Math.random() * 1000)}.json`;
    await ask("p2 of what is not there", { path: absent, headers, expected: [200, 404] });
    if (Math.random() < 0.2) await ask("list.json", { path: "/list.json", headers });
    if (Math.random() < 0.2) await ask("search.json", { path: "/search.json?q=library", headers });
    if (Math.random() < 0.2) known.clear();
    const form = { ...headers, "content-type": "application/x-www-form-urlencoded" };
    const body = Buffer.from(LIBRARIES.map((name) => `packages[]=${encodeURIComponent(name)}`).join("&"));
    await ask("security-advisories", { method: "POST", path: "/security-advisories", headers: form, body });
    await pause(1000, 3000);
  }
}

/** Runs composer: installs everything anew, and updates. */
export async function composerRuns(_connection, world, isOver) {
  const composerJson = { require: Object.fromEntries([...LIBRARIES.slice(0, 3), MIRRORED[0]].map((name) => [name, "*"])) };
  const auth = { username: "token", password: world.readers[0] };
  while (!isOver()) {
    const project = createProject({ url: world.registry.url, auth, composerJson });
    try {
      for (const command of ["update", "install"]) {
        const begun = performance.now();
        const { code, output } = await project.composer(command);
        const run = { method: "run", path: command, status: code, expected: [0], text: output.slice(-200) };
        world.composers.note("composer", { ...run, milliseconds: performance.now() - begun });
        project.uninstall();
        project.clearCache();
      }
    } finally {
      project.remove();
    }
    await pause(3000, 8000);
  }
}

/** Asks with credentials that are none, are malformed, or were revoked, and with what is no request of ours. */
export async function badCredentials({ ask }, world, isOver) {
  const key = () => randomBytes(24).toString("hex");
  const json = (path, value) => ({ method: "POST", path, json: value });
  const attempts = [
    () => ({ path: "/packages.json", headers: { authorization: `Bearer ${plainToken()}` } }),
    () => ({ path: `/p2/${oneOf(LIBRARIES)}.json`, headers: asComposer({ token: plainToken() }) }),
    () => ({ path: "/packages.json", headers: asComposer({ user: key(), token: key() }) }),
    () => ({ path: "/api/packages", headers: { authorization: `Bearer rss_${plainToken().slice(4)}` } }),
    () => ({ path: "/api/tokens", headers: { authorization: "Basic %%%" } }),
    () => ({ path: "/packages.json" }),
    () => json("/api/auth/login", { email: `nobody-${Math.floor(Math.random() * 50)}@example.com`, password: "wrong horse" }),
    () => json("/api/auth/reset", { token: plainToken(), password: "another horse battery" }),
    () => ({ method: "POST", path: "/api/tokens", body: Buffer.from("{,"), headers: { "content-type": "application/json" } }),
    () => ({ method: "PUT", path: "/api/packages/soak/forged/versions/1.0.0", body: randomBytes(5_000) }),
    () => ({ path: `/api/${"x".repeat(500)}` }),
    () => ({ path: "/api/repositories?limit=-1", headers: { authorization: `Bearer ${plainToken()}` } }),
  ];
  const refused = [400, 401, 403, 404, 405, 411, 413, 415, 422, 429];
  while (!isOver()) {
    await ask("bad credentials", { ...oneOf(attempts)(), expected: refused });
    await pause(200, 800);
  }
}

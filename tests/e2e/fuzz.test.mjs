// Schemathesis asks every operation of the API document what the document allows, and what it does not: no answer is a
// server error, or has a status, a type, a header or a body that the document does not tell of.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { schemathesis } from "../../scripts/lib/python.mjs";
import { attempt } from "../../scripts/lib/run.mjs";
import { startGitHost } from "./support/git-host.mjs";
import { ADMIN_TOKEN, register, startRegistry, versionsOf } from "./support/registry.mjs";

const CHECKS = [
  "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
  "response_headers_conformance",
];

/** The same questions every time. */
const SEED = "20260131";
/** It stops asking after so many seconds, and is stopped after so many milliseconds whatever hangs. */
const ASKING = 80;
const LIMIT = 150_000;
/** How many questions an operation gets besides the systematic ones. */
const EXAMPLES = 15;

/** How often a question is about something that is there, rather than about a name made up. */
const KNOWN = 0.7;

const PASSWORD = "correct horse battery staple";

let host;
let registry;
let folder;
before(async () => {
  host = await startGitHost();
  // Whatever address is registered, nothing but this machine is asked.
  const network = { allow: ["local"], tlsOptions: { trustBrowserCas: true } };
  registry = await startRegistry({ options: { outboundService: { network } } });
  folder = mkdtempSync(join(tmpdir(), "rostrum-fuzz-"));
});
after(async () => {
  await registry?.stop();
  await host?.stop();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

/** Makes something with a POST of the operator; what the API shows of it. */
async function made(path, json) {
  const answer = await registry.admin(path, { json });
  assert.equal(answer.status, 201, `${path}: ${await answer.clone().text()}`);
  return answer.json();
}

/** A package from git, and what its metadata and archive are called. */
async function publish() {
  const library = host.repository("acme/lib");
  library.commit({ "composer.json": JSON.stringify({ name: "acme/lib" }), "README.md": "# Library\n", "CHANGELOG.md": "# 1.0.0\n" });
  library.tag("1.0.0");
  const repository = await register(registry, { url: host.urlOf("acme/lib") });
  assert.equal(repository.sync_status, "ok", repository.error);
  const [{ id: packageId }] = await (await registry.admin(`/api/packages?repo_id=${repository.id}`)).json();
  const versions = (await versionsOf(registry, repository.id)).map((version) => version.version);
  return { repository, packageId, versions };
}

/** The token of a session of a user who exists for nothing else. */
async function session(name) {
  const email = `${name}@example.org`;
  await made("/api/users", { email, name, role: "member", password: PASSWORD });
  const json = { email, password: PASSWORD };
  const answer = await registry.request("/api/auth/login", { method: "POST", body: JSON.stringify(json) });
  assert.equal(answer.status, 200, await answer.clone().text());
  return (await answer.json()).token;
}

const document = async () => (await registry.request("/api/openapi.json")).json();

/** The operations of users about themselves: the administrator's token is refused there. */
async function sessionOperations() {
  const operations = Object.values((await document()).paths).flatMap((item) => Object.values(item));
  const own = operations.filter(({ tags, security }) => tags[0] === "authentication" && security === undefined);
  return own.map(({ operationId }) => operationId).filter((id) => id !== "set_up");
}

/**
 * What schemathesis is told beside the document, as TOML: whose token to send, and the names of what is there. What is
 * to be deleted is there a second time, so that what is asked about stays.
 */
async function configuration() {
  const { repository, packageId, versions } = await publish();
  const lines = [`[headers]`, `Authorization = ${JSON.stringify(`Bearer ${ADMIN_TOKEN}`)}`];
  const dictionaries = [];
  const about = (filter, parameters) => {
    lines.push("[[operations]]", ...Object.entries(filter).map(([key, value]) => `include-${key} = ${JSON.stringify(value)}`));
    if (filter["operation-id"] === undefined) lines.push('exclude-method = "DELETE"');
    lines.push("[operations.parameters]");
    for (const [name, values] of Object.entries(parameters)) {
      const dictionary = `known-${dictionaries.length}`;
      dictionaries.push(`${dictionary} = { values = ${JSON.stringify(values)} }`);
      lines.push(`"${name}" = { dictionary = "${dictionary}", probability = ${KNOWN} }`);
    }
  };
  // Schemathesis registers repositories at addresses that nobody answers at, which is not the registry's fault.
  const asking = ["get_package_metadata", "get_dist", "get_organization_package_metadata", "get_organization_zip", "organization_get_dist"];
  for (const id of [...asking, "register_monorepo"]) {
    lines.push("[[operations]]", `include-operation-id = "${id}"`, "[operations.checks]");
    lines.push('not_a_server_error = { expected-statuses = ["2xx", "3xx", "4xx", "502", "503"] }');
  }
  about({ tag: "repositories" }, { "path.id": [repository.id] });
  about({ tag: "packages" }, { "path.id": [packageId], "path.vendor": ["acme"], "path.name": ["lib"], "path.version": versions });
  about({ tag: "organizations" }, {
    "path.organization": ["default"],
    "path.package": [packageId],
    "path.vendor": ["acme"],
    "path.name": ["lib"],
    "path.id": [repository.id],
  });
  about({ tag: "composer" }, {
    "path.organization": ["default"],
    "path.vendor": ["acme"],
    "path.package": ["lib"],
    "path.file": ["lib.json", "lib~dev.json"],
    "path.version": ["1.0.0.zip"],
  });
  const advisory = (n) => ({ package: "acme/lib", affected_versions: `<1.${n}`, title: "A hole", advisory_id: `ACME-${n}` });
  const entry = (n) => ({ package: "acme/lib", constraint: `1.${n}.*`, list: "malware", reason: "Stolen" });
  const user = (n) => ({ email: `user${n}@example.org`, name: "Grace", role: "member", password: PASSWORD });
  const invitation = (n) => ({ email: `guest${n}@example.org`, role: "member" });
  for (const [tag, path, thing, remove] of [
    ["advisories", "/api/advisories", advisory, "delete_advisory"],
    ["users", "/api/users", user, "delete_user"],
    ["tokens", "/api/tokens", () => ({ description: "A test" }), "delete_token"],
    [null, "/api/filter-entries", entry, "delete_filter_entry"],
    [null, "/api/invitations", invitation, "delete_invitation"],
  ]) {
    if (tag) about({ tag }, { "path.id": [(await made(path, thing(0))).id] });
    about({ "operation-id": remove }, { "path.id": [(await made(path, thing(1))).id, (await made(path, thing(2))).id] });
  }
  // Each has a user of its own: some of them end the session, and a user has 500 requests an hour.
  for (const id of await sessionOperations()) {
    const token = await session(id.replaceAll("_", "-"));
    lines.push("[[operations]]", `include-operation-id = "${id}"`, `headers = { Authorization = "Bearer ${token}" }`);
  }
  return ["[dictionaries]", ...dictionaries, ...lines, ""].join("\n");
}

test("no operation ends in a server error or in anything that the document does not tell of", async () => {
  const program = await schemathesis();
  const config = join(folder, "schemathesis.toml");
  writeFileSync(config, await configuration());
  const { code, stdout, stderr } = await attempt(
    program,
    [
      "--config-file", config, "run", `${registry.url}/api/openapi.json`,
      "--checks", CHECKS.join(), "--seed", SEED, "--max-examples", String(EXAMPLES), "--max-time", String(ASKING),
      "--request-timeout", "20", "--continue-on-failure", "--no-color", "--warnings", "off",
    ],
    { cwd: folder, timeout: LIMIT, env: { ...process.env, PYTHONDONTWRITEBYTECODE: "1" } },
  );
  assert.equal(code, 0, stdout + stderr);
  // All but the one that serves the document, which schemathesis takes for its own.
  const operations = Object.values((await document()).paths).flatMap((item) => Object.keys(item));
  assert.equal(Number(/Tested: (\d+)/.exec(stdout)?.[1]), operations.length - 1, stdout);
  const crashes = registry.logs.filter(({ message }) => /panicked|RuntimeError/.test(message));
  assert.deepEqual(crashes, []);
});

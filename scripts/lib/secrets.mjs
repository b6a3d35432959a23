// The secrets of a local registry: from the environment, else from .dev.vars, else made up once and kept there.

import { randomBytes } from "node:crypto";
import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./paths.mjs";
import { Stop, say } from "./say.mjs";

const FILE = join(root, ".dev.vars");

/** How each secret is made up. */
const MAKERS = {
  ADMIN_TOKEN: () => randomBytes(24).toString("base64url"),
  ENCRYPTION_KEY: () => randomBytes(32).toString("base64"),
};

/** Fewest characters of ADMIN_TOKEN; the Worker does not accept a shorter one either (src/registry/kernel/secrets.rs). */
const MIN_ADMIN_TOKEN = 20;

/** Stops when an ADMIN_TOKEN can be guessed. */
export function requireLongAdminToken(token) {
  if ([...token].length >= MIN_ADMIN_TOKEN) return;
  throw new Stop(`ADMIN_TOKEN has fewer than ${MIN_ADMIN_TOKEN} characters: make one with \`openssl rand -base64 24\`.`);
}

/** `NAME=value` lines as an object; quotes around a value are dropped. */
function parse(text) {
  const lines = text.split(/\r?\n/).map((line) => /^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*$/.exec(line));
  return Object.fromEntries(lines.filter(Boolean).map(([, name, value]) => [name, value.replace(/^(["'])(.*)\1$/, "$2")]));
}

/** Every variable of .dev.vars, with the secrets completed. */
export function localSecrets() {
  const text = existsSync(FILE) ? readFileSync(FILE, "utf8") : "";
  const vars = parse(text);
  for (const name of Object.keys(MAKERS)) if (process.env[name]) vars[name] = process.env[name];
  const missing = Object.keys(MAKERS).filter((name) => !vars[name]);
  if (missing.length > 0) {
    for (const name of missing) vars[name] = MAKERS[name]();
    const lines = missing.map((name) => `${name}=${vars[name]}\n`).join("");
    writeFileSync(FILE, text + (text === "" || text.endsWith("\n") ? "" : "\n") + lines, { mode: 0o600 });
    chmodSync(FILE, 0o600);
    say(`Made up ${missing.join(" and ")} and wrote ${missing.length === 1 ? "it" : "them"} to .dev.vars`);
  }
  requireLongAdminToken(vars.ADMIN_TOKEN);
  return vars;
}

// The programs the end-to-end tests talk to: real PHP, real Composer, real git, a real browser.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { answers, attempt } from "./run.mjs";
import { installPackages } from "./system.mjs";

/** What Debian calls them. */
const PACKAGES = [
  "composer", "php-cli", "php-zip", "php-mbstring", "php-xml", "php-curl", "php-guzzlehttp-guzzle", "unzip", "git", "curl",
];

/** The HTTP client of generated PHP clients, where Debian has it. */
export const GUZZLE = "/usr/share/php/GuzzleHttp/autoload.php";

/** The PHP extensions Composer needs to unpack a zip and talk HTTP. */
const EXTENSIONS = ["zip", "mbstring", "dom", "curl", "openssl"];

/** Installs what is missing, or says in one sentence what is. */
export async function requirePrograms() {
  const composer = await answers("composer", ["--version", "--no-interaction"]);
  const git = await hasHttpBackend();
  const { code, stdout } = await attempt("php", ["-m"], { timeout: 20_000 });
  const loaded = stdout.toLowerCase().split(/\r?\n/);
  const php = code === 0 && EXTENSIONS.every((name) => loaded.includes(name));
  const others = (await answers("unzip", ["-v"])) && (await answers("curl", ["--version"]));
  if (composer && git && php && others && existsSync(GUZZLE)) return;
  await installPackages(
    PACKAGES,
    `The end-to-end tests need composer 2, PHP with ${EXTENSIONS.join(", ")}, unzip, curl and git with http-backend: install them, and Guzzle as Debian does, and try again.`,
  );
}

/** git's server program lies beside its other parts, not on PATH. */
async function hasHttpBackend() {
  const { code, stdout } = await attempt("git", ["--exec-path"], { timeout: 20_000 });
  return code === 0 && existsSync(join(stdout.trim(), "git-http-backend"));
}

/** What the browser may be called. */
const BROWSERS = ["chromium", "chromium-browser", "google-chrome"];

/** A browser that runs without a window; installed where that is possible. */
export async function browser() {
  for (const name of BROWSERS) if (await answers(name)) return name;
  await installPackages(["chromium"], "The end-to-end tests need Chromium or Chrome on the PATH: install it and try again.");
  return BROWSERS[0];
}

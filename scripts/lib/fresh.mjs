// Whether something built earlier is still what its inputs would give.

import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";

/** A hash over the contents of `files`; a missing file counts as such. */
function fingerprint(files) {
  const hash = createHash("sha256");
  for (const file of [...files].sort()) {
    hash.update(`${file}\0`);
    hash.update(existsSync(file) ? createHash("sha256").update(readFileSync(file)).digest() : "missing");
  }
  return hash.digest("hex");
}

/** Whether the files that `record` names still have the contents they had when it was written. */
export function isFresh(record) {
  if (!existsSync(record)) return false;
  const { files, hash } = JSON.parse(readFileSync(record, "utf8"));
  return fingerprint(files) === hash;
}

/** Notes what `files` contain now. */
export function remember(record, files) {
  writeFileSync(record, JSON.stringify({ hash: fingerprint(files), files }, null, 1));
}

/**
 * The inputs that cargo wrote into a dep-info file beside a product (`target/…/release/NAME.d`): the sources of the
 * package and of those it depends on by path, and what they include with `include_str!`.
 */
export function rustInputs(depInfo) {
  const line = readFileSync(depInfo, "utf8").split("\n")[0];
  const list = line.slice(line.indexOf(": ") + 2);
  return list.match(/(?:\\ |[^ ])+/g).map((name) => name.replaceAll("\\ ", " "));
}

// The SQL of src/store, read from its source: what is passed to `Stmt::new` and to the constructors of `Query`, with the
// fragments that macros stand for.

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { root } from "../../../scripts/lib/paths.mjs";

const store = join(root, "src/store");

/**
 * All statements, `{ place, sql, parameters }` each: where it stands (`dists.rs:57`), its text, and how many
 * parameters it binds. Throws at a statement that it cannot read, so that none is left out in silence.
 */
export function statementsOfTheStore() {
  // query.rs makes statements of texts that others give it.
  const names = readdirSync(store, { recursive: true }).filter((name) => name.endsWith(".rs") && name !== "query.rs");
  const files = names.sort().map((name) => [name, readFileSync(join(store, name), "utf8")]);
  const shared = new Map(files.flatMap(([name, source]) => sharedFragments(name, source)));
  return files.flatMap(([name, source]) => statementsIn(name, source, shared));
}

/** The fragments that a file lets others use (`pub(crate) use …;`), as pairs of name and text. */
function sharedFragments(name, source) {
  const names = Array.from(source.matchAll(/^pub\(crate\) use \{?([\w, ]+)\}?;/gm), ([, list]) => list.split(", ")).flat();
  if (names.length === 0) return [];
  return [...fragmentsOf(name, source, new Map())].filter(([macro]) => names.includes(macro));
}

/** The fragments that a file may use: its own, and those that are `shared`. */
function fragmentsOf(name, source, shared) {
  const fragments = new Map(shared);
  for (const { 1: macro, index, 0: head } of source.matchAll(/macro_rules! (\w+) \{\s*\(\) => \{/g)) {
    fragments.set(macro, readText(source, index + head.length, fragments, `${name}: ${macro}!`));
  }
  return fragments;
}

/** The statements of one file with the text `source`. */
export function statementsIn(name, source, shared = new Map()) {
  const fragments = fragmentsOf(name, source, shared);
  return [...source.matchAll(/\b(?:Stmt::new|Query(?:::<.*>)?::(?:all|one|any|count))\(/g)].map(({ index, 0: head }) => {
    const place = `${name}:${source.slice(0, index).split("\n").length}`;
    const sql = readText(source, index + head.length, fragments, place);
    return { place, sql, parameters: Math.max(0, ...[...sql.matchAll(/\?(\d+)/g)].map((match) => Number(match[1]))) };
  });
}

/** The text that the Rust expression at `at` stands for: a literal, a fragment's name, or a `concat!` of them. */
function readText(source, at, fragments, place) {
  const rest = source.slice(at).trimStart();
  if (rest.startsWith('"')) return literal(rest);
  const macro = /^(?:\w+::)*(\w+)!\(/.exec(rest);
  if (macro === null) throw new Error(`${place}: this is no text that is known at compile time: ${rest.slice(0, 60)}`);
  if (macro[1] !== "concat") {
    if (!fragments.has(macro[1])) throw new Error(`${place}: there is no fragment ${macro[1]}!`);
    return fragments.get(macro[1]);
  }
  const parts = [];
  for (let text = rest.slice(macro[0].length).trimStart(); !text.startsWith(")"); ) {
    const part = /^(?:"(?:[^"\\]|\\[^])*"|(?:\w+::)*\w+!\(\))/.exec(text);
    if (part === null) throw new Error(`${place}: concat! holds something else than texts: ${text.slice(0, 60)}`);
    parts.push(readText(part[0], 0, fragments, place));
    text = text.slice(part[0].length).trimStart().replace(/^,/, "").trimStart();
  }
  return parts.join("");
}

/** The value of the Rust string literal that `text` begins with. */
function literal(text) {
  const [whole] = /^"(?:[^"\\]|\\[^])*"/.exec(text);
  const escapes = { n: "\n", t: "\t", '"': '"', "\\": "\\", "'": "'" };
  return whole.slice(1, -1).replace(/\\(\n\s*|[^])/g, (_, escaped) => {
    if (escaped.startsWith("\n")) return "";
    if (escaped in escapes) return escapes[escaped];
    throw new Error(`a text holds \\${escaped}, which is not known here`);
  });
}

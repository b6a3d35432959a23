// The tools that turn Rust into a Worker: a Rust with the wasm32 standard library, wasm-bindgen, worker-build.
//
// An ordinary machine gets the standard library from rustup. Where rustup has no network, Debian's own Rust is
// used for the wasm build and its standard library is compiled once from Debian's copy of the source.
// wasm-bindgen and worker-build are compiled once per version and kept in the cache (see paths.mjs).

import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, delimiter, join } from "node:path";
import { cache, npmBin, root } from "./paths.mjs";
import { answers, attempt, run } from "./run.mjs";
import { Stop, say, step } from "./say.mjs";
import { installPackages } from "./system.mjs";

const WASM = "wasm32-unknown-unknown";

/** Debian's Rust, its standard library's source, and the linker for wasm. */
const DEBIAN_PACKAGES = ["rustc-web", "cargo-web", "rust-web-src", "lld-19"];
const DEBIAN_RUSTC = "/usr/bin/rustc";
const DEBIAN_CARGO = "/usr/bin/cargo";
const DEBIAN_LINKER = "wasm-ld-19";

/** Stops with one sentence unless Rust is installed. */
export async function requireRust() {
  if ((await answers("cargo")) && (await answers("rustc"))) return;
  throw new Stop("Rust is missing: install it from https://rustup.rs and try again.");
}

/** The environment in which worker-build finds every tool it needs, made on the first call. */
export async function wasmEnvironment() {
  await requireRust();
  const rust = await wasmRust();
  const bindgen = await cargoTool("wasm-bindgen-cli", "wasm-bindgen", lockedVersion("wasm-bindgen"));
  const workerBuild = await cargoTool("worker-build", "worker-build", lockedVersion("worker"), ["--locked"]);
  // What they were compiled from is a gigabyte, and of no more use.
  rmSync(join(cache, "target"), { recursive: true, force: true });
  // worker-build would download these three; npm's are pinned and work offline.
  const helpers = { WASM_BINDGEN_BIN: bindgen, ESBUILD_BIN: npmBin("esbuild"), WASM_OPT_BIN: npmBin("wasm-opt") };
  return { workerBuild, env: { ...process.env, ...rust, ...helpers } };
}

/** The variables that make `cargo build --target wasm32-unknown-unknown` work. */
async function wasmRust() {
  if (await hasStandardLibrary("rustc")) return {};
  if (await addWithRustup()) return {};
  return debianRust();
}

/** Whether `rustc` comes with a standard library for wasm. */
async function hasStandardLibrary(rustc) {
  const { code, stdout } = await attempt(rustc, ["--print", "target-libdir", "--target", WASM]);
  const folder = stdout.trim();
  return code === 0 && existsSync(folder) && readdirSync(folder).some((name) => /^libstd-.*\.rlib$/.test(name));
}

async function addWithRustup() {
  if (!(await answers("rustup"))) return false;
  return step(`Adding the ${WASM} target with rustup`, async () => {
    const { code } = await attempt("rustup", ["target", "add", WASM], {
      env: { ...process.env, RUSTUP_MAX_RETRIES: "1" },
      timeout: 120_000,
    });
    if (code !== 0) say("rustup cannot fetch it here; trying Debian's Rust instead");
    return code === 0 && hasStandardLibrary("rustc");
  });
}

/** Debian's Rust, with its wasm standard library built on first use. */
async function debianRust() {
  const why = `Rust's ${WASM} standard library is missing: run \`rustup target add ${WASM}\` with network access and try again.`;
  const complete = existsSync(DEBIAN_RUSTC) && existsSync(DEBIAN_CARGO) && (await answers(DEBIAN_LINKER));
  if (!complete || !(await debianSource())) await installPackages(DEBIAN_PACKAGES, why);
  if (!(await hasStandardLibrary(DEBIAN_RUSTC))) {
    await step("Building Rust's standard library for wasm (once, about a minute)", buildStandardLibrary);
  }
  // worker-build finds rustc and cargo by PATH; this folder holds those two and nothing else.
  const bin = join(cache, "debian-rust");
  mkdirSync(bin, { recursive: true });
  for (const [name, target] of [["rustc", DEBIAN_RUSTC], ["cargo", DEBIAN_CARGO]]) {
    writeFileSync(join(bin, name), `#!/bin/sh\nexec ${target} "$@"\n`, { mode: 0o755 });
  }
  return {
    PATH: bin + delimiter + process.env.PATH,
    RUSTC: DEBIAN_RUSTC,
    CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER: DEBIAN_LINKER,
  };
}

/** Whether the source of Debian's standard library is there. */
async function debianSource() {
  const { stdout } = await attempt(DEBIAN_RUSTC, ["--print", "sysroot"]);
  return existsSync(join(stdout.trim(), "lib/rustlib/src/rust/library/Cargo.lock"));
}

/** Compiles the standard library as a by-product of an empty crate and copies it to where rustc looks for it. */
async function buildStandardLibrary() {
  const scratch = mkdtempSync(join(tmpdir(), "rostrum-std-"));
  try {
    mkdirSync(join(scratch, "src"));
    writeFileSync(join(scratch, "src/lib.rs"), "");
    writeFileSync(join(scratch, "Cargo.toml"), '[package]\nname = "empty"\nversion = "0.0.0"\nedition = "2021"\n');
    await run(DEBIAN_CARGO, ["build", "--release", "--target", WASM, "-Z", "build-std=std,panic_abort,proc_macro"], {
      cwd: scratch,
      // Bitcode is embedded because our release profile links with LTO.
      env: {
        ...process.env,
        RUSTC: DEBIAN_RUSTC,
        RUSTC_BOOTSTRAP: "1",
        RUSTFLAGS: "-Cembed-bitcode=yes",
        CARGO_TARGET_DIR: join(scratch, "target"),
        CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER: DEBIAN_LINKER,
      },
    });
    const made = join(scratch, "target", WASM, "release/deps");
    const { stdout } = await run(DEBIAN_RUSTC, ["--print", "target-libdir", "--target", WASM]);
    const libraries = readdirSync(made).filter((name) => name.endsWith(".rlib") && !name.startsWith("libempty-"));
    await copyAsOwner(libraries.map((name) => join(made, name)), stdout.trim());
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Copies files into a folder of the system, with sudo when we are not root. */
async function copyAsOwner(files, folder) {
  if (process.getuid() === 0) {
    mkdirSync(folder, { recursive: true });
    for (const file of files) cpSync(file, join(folder, basename(file)));
    return;
  }
  await run("sudo", ["-n", "mkdir", "-p", folder]);
  await run("sudo", ["-n", "install", "-m", "644", "-t", folder, ...files]);
}

/** A program from crates.io in exactly this version, compiled on first use. */
async function cargoTool(crate, program, version, flags = []) {
  const home = join(cache, "tools", `${crate}-${version}`);
  const binary = join(home, "bin", program);
  if (existsSync(binary)) return binary;
  // An unoptimised build is four times faster to make, and no slower where it counts: rustc does the work.
  await step(`Building ${crate} ${version} (once, one or two minutes)`, () =>
    run("cargo", ["install", "--quiet", "--debug", ...flags, "--root", home, "--version", version, crate], {
      cwd: tmpdir(),
      env: { ...process.env, CARGO_PROFILE_DEV_DEBUG: "0", CARGO_TARGET_DIR: join(cache, "target") },
    }),
  );
  return binary;
}

/** The version of `crate` that Cargo.lock holds. */
export function lockedVersion(crate) {
  const lock = readFileSync(join(root, "Cargo.lock"), "utf8");
  const version = new RegExp(`^name = "${crate}"\\nversion = "([^"]+)"`, "m").exec(lock)?.[1];
  if (!version) throw new Stop(`Cargo.lock does not name ${crate}: run \`cargo generate-lockfile\`.`);
  return version;
}

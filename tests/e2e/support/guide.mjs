// The commands of docs/storefront.md, found by the headings that they stand below, and run as they are printed.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";

/** Prints the status behind each answer, as `-w` does. */
const CURL = "curl() { command curl -sS --max-time 20 -w '\\n%{http_code}\\n' \"$@\"; }";

/**
 * Reads the guide. `block(heading, { language, at })` is the text of the code block at the place `at` (the first unless given)
 * among those of a language (`sh` unless given) below a heading, up to the next heading. `left(...headings)` lists the
 * headings with shell blocks that nobody has asked for, but for those named.
 */
export function readGuide() {
  const blocks = [];
  let heading = "";
  const text = readFileSync(new URL("../../../docs/storefront.md", import.meta.url), "utf8");
  for (const [, title, language, code] of text.matchAll(/^#+ (.*)$|^```(\w+)\n([^]*?)^```$/gm)) {
    if (title !== undefined) heading = title;
    else blocks.push({ heading, language, code, isTaken: false });
  }
  return {
    block(wanted, { language = "sh", at = 0 } = {}) {
      const found = blocks.filter((block) => block.heading === wanted && block.language === language)[at];
      assert.ok(found, `the guide has no block ${at} of ${language} below "${wanted}"`);
      found.isTaken = true;
      return found.code;
    },
    left(...others) {
      const left = blocks.filter(({ heading, language, isTaken }) => language === "sh" && !isTaken && !others.includes(heading));
      return left.map((block) => block.heading);
    },
  };
}

/**
 * The commands of a shell block, `{ command, remark, comment }` each: as printed, what is said of its answer behind it, and the
 * comment above it. Lines that are indented belong to the line before.
 */
function commandsOf(block) {
  let comment = "";
  return block.split(/\n(?! )/).flatMap((command) => {
    if (command.trim() === "") return [];
    if (command.startsWith("#")) return ((comment = command.slice(2)), []);
    const [, remark = ""] = /\s# *(.*)$/.exec(command) ?? [];
    return [{ command, remark, comment }];
  });
}

/**
 * A reader's shell in a folder. `variables` are what the reader has filled in, and get what the commands export. `run(block)`
 * runs the commands of a block one after the other and returns their answers, `{ command, comment, status, body }` each; what the
 * remarks say of them is true. `export NAME=…` takes what its remark names of the answer before it.
 */
export function createShell({ folder, variables }) {
  async function run(block, { onAnswer = () => {} } = {}) {
    const answers = [];
    for (const { command, remark, comment } of commandsOf(block)) {
      const [, name] = /^export (\w+)=/.exec(command) ?? [];
      if (name !== undefined) {
        const [, field] = /the "(\w+)" in the answer/.exec(remark) ?? [];
        variables[name] = field === undefined ? variables[name] : subjectOf(answers.at(-1).body)?.[field];
        assert.ok(variables[name], `${command}: nobody says what that is`);
        continue;
      }
      const answer = { command, comment, ...(await ask(command)) };
      check(answer, remark);
      answers.push(answer);
      await onAnswer(answer);
    }
    return answers;
  }

  /** Runs one command; `{ status, body }` of its answer. */
  async function ask(command) {
    const shell = spawn("bash", ["-c", `${CURL}\n${command}`], {
      cwd: folder,
      env: { PATH: process.env.PATH, ...variables },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    for (const stream of [shell.stdout, shell.stderr]) stream.setEncoding("utf8").on("data", (piece) => (output += piece));
    const code = await new Promise((resolve) => shell.on("close", resolve));
    const [, body, status] = /^([^]*)\n(\d+)\n$/.exec(output) ?? assert.fail(`${command}: ${output}`);
    assert.equal(code, 0, `${command}: ${output}`);
    return { status: Number(status), body: body === "" ? null : JSON.parse(body) };
  }

  return { variables, run, ask };
}

/** What an answer is about: of a list the first. */
const subjectOf = (body) => (Array.isArray(body) ? body[0] : body);

/** Holds an answer to what a remark says: a status (`409`) if it begins with one, else success, and fields (`"id": 2`). */
function check({ command, status, body }, remark) {
  const said = `${command}: ${status} ${JSON.stringify(body)}`;
  const [, expected] = /^(\d{3})\b/.exec(remark) ?? [];
  assert.ok(expected === undefined ? status >= 200 && status < 300 : status === Number(expected), said);
  for (const [, field, value] of remark.matchAll(/"(\w+)": (null|true|false|\d+|"[^"]*")/g)) {
    assert.equal(subjectOf(body)?.[field], JSON.parse(value), said);
  }
}

/**
 * The versions of a package that composer sees with these credentials (`{ public_key, private_key }`), the newest first; `null` when
 * they are refused.
 */
export async function visible(registry, name, { public_key, private_key }) {
  const authorization = `Basic ${Buffer.from(`${public_key}:${private_key}`).toString("base64")}`;
  const seen = [];
  for (const file of [`${name}.json`, `${name}~dev.json`]) {
    const answer = await registry.request(`/p2/${file}`, { headers: { authorization, connection: "close" } });
    if (answer.status === 401 || answer.status === 403) return null;
    if (answer.status === 404) continue;
    assert.equal(answer.status, 200, `${file}: ${answer.status}`);
    seen.push(...Object.keys((await answer.json()).packages[name]));
  }
  return seen;
}

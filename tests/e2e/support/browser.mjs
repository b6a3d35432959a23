// A browser without a window, told what to do over a pipe (the DevTools protocol).

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { browser } from "../../../scripts/lib/programs.mjs";
import { until } from "./registry.mjs";

/** No page may take longer for one step. */
const TIMEOUT = 30_000;

/** Starts a browser with a profile of its own that vanishes at the end; `{ open(url), stop() }`. */
export async function startBrowser() {
  const profile = mkdtempSync(join(tmpdir(), "rostrum-browser-"));
  const flags = [
    "--headless", "--remote-debugging-pipe", `--user-data-dir=${profile}`, "--disable-gpu", "--no-first-run",
    "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update", "--window-size=1200,1600",
    // Chromium's sandbox refuses to run as root, which is what a container's only user is.
    ...(process.getuid?.() === 0 ? ["--no-sandbox"] : []),
  ];
  const child = spawn(await browser(), flags, { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"], detached: true });
  const ended = new Promise((resolve) => child.once("close", resolve));
  const { send, onEvent } = protocol(child, ended);
  return {
    open: (url) => openPage(send, onEvent, url),
    async stop() {
      // Its own way of ending takes its helpers along, which would go on writing into the profile.
      await send("Browser.close").catch(() => {});
      const late = setTimeout(() => process.kill(-child.pid, "SIGKILL"), 5_000);
      await ended;
      clearTimeout(late);
      rmSync(profile, { recursive: true, force: true, maxRetries: 20 });
    },
  };
}

/** Requests and their answers: JSON texts with a NUL behind each, on two pipes. */
function protocol(child, ended) {
  const waiting = new Map();
  const listeners = [];
  let last = 0;
  let text = "";
  child.stdio[3].on("error", () => {});
  child.stdio[4].setEncoding("utf8").on("data", (piece) => {
    const messages = (text + piece).split("\0");
    text = messages.pop();
    for (const message of messages.map((one) => JSON.parse(one))) {
      if (message.id === undefined) listeners.forEach((listener) => listener(message));
      else waiting.get(message.id)?.(message);
      waiting.delete(message.id);
    }
  });
  const send = async (method, params = {}, sessionId = undefined) => {
    const id = ++last;
    const answered = new Promise((resolve) => waiting.set(id, resolve));
    child.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    const gone = ended.then(() => ({ error: { message: "the browser has ended" } }));
    const late = new Promise((resolve) => setTimeout(resolve, TIMEOUT, { error: { message: "no answer" } }).unref());
    const { result, error } = await Promise.race([answered, gone, late]);
    if (error) throw new Error(`${method}: ${error.message}`);
    return result;
  };
  return { send, onEvent: (listener) => listeners.push(listener) };
}

/**
 * Opens a page. `problems` are its errors so far; `evaluate` gives the value of an expression in it, `waitFor` that of
 * one that has become true; `click` and `type` act on what a selector finds, once it is there.
 */
async function openPage(send, onEvent, url) {
  const { targetId } = await send("Target.createTarget", { url: "about:blank" });
  const { sessionId } = await send("Target.attachToTarget", { targetId, flatten: true });
  const problems = [];
  onEvent(({ method, params, sessionId: from }) => {
    if (from !== sessionId) return;
    if (method === "Runtime.exceptionThrown") problems.push(params.exceptionDetails.text);
    if (method === "Log.entryAdded" && params.entry.level === "error") problems.push(`${params.entry.text} ${params.entry.url ?? ""}`);
  });
  await send("Runtime.enable", {}, sessionId);
  await send("Log.enable", {}, sessionId);
  await send("Page.navigate", { url }, sessionId);
  const evaluate = async (expression) => {
    const { result, exceptionDetails } = await send("Runtime.evaluate", { expression, returnByValue: true }, sessionId);
    if (exceptionDetails) throw new Error(`${expression}: ${exceptionDetails.exception?.description ?? exceptionDetails.text}`);
    return result.value;
  };
  const waitFor = (expression) => until(expression, TIMEOUT, () => evaluate(expression));
  const found = (selector) => `document.querySelector(${JSON.stringify(selector)})`;
  return {
    problems,
    evaluate,
    waitFor,
    async click(selector) {
      await waitFor(`${found(selector)} !== null`);
      await evaluate(`${found(selector)}.click()`);
    },
    async type(selector, text) {
      await waitFor(`${found(selector)} !== null`);
      await evaluate(`${found(selector)}.focus()`);
      await send("Input.insertText", { text }, sessionId);
    },
    screenshot: async () => Buffer.from((await send("Page.captureScreenshot", {}, sessionId)).data, "base64"),
  };
}

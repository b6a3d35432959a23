// The load generator's other end, and requests as it sends them.

import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";

/** No run of the load may take longer: 5 min. */
const TIMEOUT = 5 * 60_000;

/** Starts the load process: `{ run(job), stop() }`; jobs as load.mjs describes them. */
export function startLoad() {
  const child = fork(fileURLToPath(new URL("load.mjs", import.meta.url)));
  return {
    async run(job) {
      const result = await new Promise((resolve, reject) => {
        const alarm = setTimeout(() => reject(new Error("the load did not end")), TIMEOUT);
        child.once("message", (message) => (clearTimeout(alarm), resolve(message)));
        child.send(job);
      });
      if (result.error) throw new Error(`load: ${result.error}`);
      return result;
    },
    stop: () => void child.kill(),
  };
}

/** HTTP Basic, as Composer sends it: a token beside some user name, or a consumer's key pair. */
export const basic = ({ user = "token", token }) => `Basic ${Buffer.from(`${user}:${token}`).toString("base64")}`;

/** A GET as Composer sends it, with a `token`, or a consumer's keys as `user` and `token`. */
export function get(path, { user, token, headers = {} } = {}) {
  const all = {
    Host: "registry.test",
    Accept: "*/*",
    "User-Agent": "Composer/2.8.1 (Linux; 6.1.0; PHP 8.2.20; cURL 7.88.1)",
    ...(token && { Authorization: basic({ user, token }) }),
    ...headers,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `GET ${path} HTTP/1.1\r\n${lines.join("")}\r\n`;
}

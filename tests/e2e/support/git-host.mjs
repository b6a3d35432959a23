// A git host on loopback: the real `git http-backend` behind a few lines of CGI, with faults on demand.

import { spawn, execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

/** Commits are the same on every run: authors, dates and hence object ids. */
const AUTHOR = {
  GIT_AUTHOR_NAME: "Ada",
  GIT_AUTHOR_EMAIL: "ada@example.com",
  GIT_COMMITTER_NAME: "Ada",
  GIT_COMMITTER_EMAIL: "ada@example.com",
  GIT_CONFIG_GLOBAL: "/dev/null",
  GIT_CONFIG_NOSYSTEM: "1",
};
const FIRST_COMMIT = Date.UTC(2024, 0, 1) / 1000;

/**
 * Starts a host. `filters`: whether partial clones are allowed. `protocol`: the newest version of git's protocol that it
 * knows, whatever it is asked for (0, 1 or 2). `anyObject`: whether it sends more than branches and tags. `auth`: `{ username, password }` that every request
 * has to carry. `folder`: bare repositories that are there already, which are served and left alone. `host.log` lists the requests: `{ method, path, query, protocol, authorization, received, sent, status }`.
 */
export async function startGitHost({ filters = true, protocol = 2, anyObject = true, auth, folder: given } = {}) {
  const folder = given ?? mkdtempSync(join(tmpdir(), "rostrum-git-"));
  const log = [];
  const faults = [];
  const running = new Set();
  const server = http.createServer((request, response) => {
    const url = new URL(request.url, "http://git");
    const entry = {
      method: request.method,
      path: url.pathname,
      query: url.search.slice(1),
      protocol: request.headers["git-protocol"] ?? null,
      authorization: request.headers.authorization ?? null,
      received: 0,
      sent: 0,
      status: null,
    };
    log.push(entry);
    request.on("data", (piece) => (entry.received += piece.length));
    response.on("finish", () => (entry.status = response.statusCode));
    const next = faults.findIndex((fault) => fault.when(entry));
    if (next >= 0) {
      const fault = faults[next];
      if (--fault.times === 0) faults.splice(next, 1);
      return fault.answer(request, response, () => serve(request, response, url, entry));
    }
    if (auth && request.headers.authorization !== basic(auth)) {
      response.writeHead(401, { "www-authenticate": 'Basic realm="git"' });
      return response.end("Authentication required\n");
    }
    serve(request, response, url, entry);
  });

  /** Runs http-backend as CGI (RFC 3875) for one request. */
  function serve(request, response, url, entry) {
    const child = spawn("git", ["http-backend"], {
      env: {
        PATH: process.env.PATH,
        GIT_CONFIG_NOSYSTEM: "1",
        GIT_CONFIG_COUNT: "3",
        GIT_CONFIG_KEY_0: "uploadpack.allowFilter",
        GIT_CONFIG_VALUE_0: String(filters),
        GIT_CONFIG_KEY_1: "uploadpack.allowAnySHA1InWant",
        GIT_CONFIG_VALUE_1: String(anyObject),
        GIT_CONFIG_KEY_2: "safe.directory",
        GIT_CONFIG_VALUE_2: "*",
        GIT_PROJECT_ROOT: folder,
        GIT_HTTP_EXPORT_ALL: "1",
        ...protocolFor(protocol, request),
        REQUEST_METHOD: request.method,
        PATH_INFO: decodeURIComponent(url.pathname),
        QUERY_STRING: url.search.slice(1),
        CONTENT_TYPE: request.headers["content-type"] ?? "",
        CONTENT_LENGTH: request.headers["content-length"] ?? "",
        HTTP_CONTENT_ENCODING: request.headers["content-encoding"] ?? "",
        REMOTE_ADDR: "127.0.0.1",
      },
    });
    running.add(child);
    child.on("close", () => running.delete(child));
    child.stdin.on("error", () => {});
    request.pipe(child.stdin);
    let head = Buffer.alloc(0);
    child.stdout.on("data", (piece) => {
      if (head === null) return void response.write(piece, () => (entry.sent += piece.length));
      head = Buffer.concat([head, piece]);
      const end = head.indexOf("\r\n\r\n");
      if (end < 0) return;
      const headers = head.subarray(0, end).toString().split("\r\n").map((line) => /^([^:]+):\s*(.*)$/.exec(line).slice(1));
      const status = headers.find(([name]) => name.toLowerCase() === "status");
      response.writeHead(status ? Number.parseInt(status[1], 10) : 200, headers.filter((pair) => pair !== status).flat());
      const rest = head.subarray(end + 4);
      head = null;
      entry.sent += rest.length;
      response.write(rest);
    });
    child.stdout.on("end", () => {
      if (head !== null) response.writeHead(500);
      response.end();
    });
    response.on("close", () => child.kill());
  }

  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  const url = `http://127.0.0.1:${server.address().port}`;
  return {
    url,
    log,
    /** The address a repository is cloned from. */
    urlOf: (name) => `${url}/${name}.git`,
    /** Makes an empty bare repository; the result commits, tags and moves branches in it. */
    repository: (name) => repository(join(folder, `${name}.git`)),
    /** The next `times` requests that satisfy `when` get this fault instead of git's answer. */
    fail(fault, { times = 1, when = () => true } = {}) {
      faults.push({ answer: FAULTS[fault.kind](fault), times, when });
    },
    /** Forgets the faults that have not struck yet. */
    heal: () => void faults.splice(0),
    /** Forgets the requests seen so far. */
    forget: () => void log.splice(0),
    /** Stops the host and removes its repositories. */
    async stop() {
      for (const child of running) child.kill("SIGKILL");
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
      if (given === undefined) rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The variable in which http-backend is asked for a version; a server of version 0 knows none. */
function protocolFor(newest, request) {
  if (newest === 0) return {};
  return { GIT_PROTOCOL: newest === 1 ? "version=1" : (request.headers["git-protocol"] ?? "") };
}

function basic({ username, password }) {
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}

/** What can go wrong, by the `kind` of fault. */
const FAULTS = {
  /** A status with a text of the host's own: `{ kind: "status", status, headers, body }`. */
  status: ({ status, headers = {}, body = "no\n" }) => (request, response) => {
    request.resume();
    response.writeHead(status, headers).end(body);
  },
  /** A web page where git's answer should be: `{ kind: "html" }`. */
  html: () => (request, response) => {
    request.resume();
    response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html><title>Sign in</title>");
  },
  /** A connection that is closed without a word: `{ kind: "drop" }`. */
  drop: () => (request) => request.socket.destroy(),
  /** Silence: `{ kind: "hang" }`. */
  hang: () => (request) => request.resume(),
  /** git's answer, `delay` milliseconds late: `{ kind: "slow", delay }`. */
  slow: ({ delay }) => (request, _response, serve) => {
    request.pause();
    setTimeout(serve, delay);
  },
  /** Somewhere else: `{ kind: "redirect", to, status }`; `to` is prefixed to the path and query asked for. */
  redirect: ({ to, status = 302 }) => (request, response) => {
    request.resume();
    response.writeHead(status, { location: to + request.url }).end();
  },
  /** The connection breaks after `bytes` bytes of body: `{ kind: "cut", bytes }`. */
  cut: ({ bytes }) => (_request, response, serve) => {
    const write = response.write.bind(response);
    let left = bytes;
    response.write = (piece, done) => {
      const part = piece.subarray(0, left);
      left -= part.length;
      return write(part, () => (done?.(), left === 0 && response.destroy()));
    };
    serve();
  },
};

/** A bare repository at `path`, written to with git's plumbing: no work tree, no hooks. */
export function repository(path) {
  const git = (args, { input, env } = {}) =>
    execFileSync("git", args, { cwd: path, input, env: { PATH: process.env.PATH, ...AUTHOR, ...env }, encoding: "utf8" }).trim();
  mkdirSync(path, { recursive: true });
  git(["init", "--quiet", "--bare", "--initial-branch=main", "."]);
  let commits = 0;
  const hasMain = () => git(["for-each-ref", "refs/heads/main"]) !== "";
  return {
    path,
    git,
    /**
     * Commits exactly `files` (path → text or Buffer; `{ mode, content }` for another mode, `{ mode, id }` for an
     * object that is there or, as a submodule, elsewhere) on `branch` and returns the commit's id.
     */
    commit(files, { branch = "main", message = "Change", at = FIRST_COMMIT + 60 * commits } = {}) {
      commits += 1;
      const index = join(path, `index-${commits}`);
      const env = { GIT_INDEX_FILE: index, GIT_AUTHOR_DATE: `${at} +0000`, GIT_COMMITTER_DATE: `${at} +0000` };
      const entries = Object.entries(files).map(([name, file]) => {
        const { mode, content, id } = typeof file === "string" || Buffer.isBuffer(file) ? { mode: "100644", content: file } : file;
        return `${mode} ${id ?? git(["hash-object", "-w", "--stdin"], { input: content })}\t${name}\n`;
      });
      git(["update-index", "--add", "--index-info"], { input: entries.join(""), env });
      const tree = git(["write-tree"], { env });
      rmSync(index, { force: true });
      const parent = git(["for-each-ref", "--format=%(objectname)", `refs/heads/${branch}`]);
      const id = git(["commit-tree", tree, "-m", message, ...(parent ? ["-p", parent] : [])], { env });
      git(["update-ref", `refs/heads/${branch}`, id]);
      return id;
    },
    /**
     * Many commits at once, each on the one before, on main: `{ files, tag }`, where `files` are as in `commit` and
     * `tag` may be absent. One process does it all, so that hundreds take no time.
     */
    commits(list) {
      const lines = list.flatMap(({ files, tag }, index) => {
        commits += 1;
        const when = `${FIRST_COMMIT + 60 * commits} +0000`;
        const head = [`commit refs/heads/main`, `committer Ada <ada@example.com> ${when}`, "data 6\nChange"];
        const first = index === 0 ? ["from refs/heads/main^0"].filter(() => hasMain()) : [];
        const tree = Object.entries(files).map(([name, text]) => `M 100644 inline ${name}\ndata ${Buffer.byteLength(text)}\n${text}`);
        return [...head, ...first, "deleteall", ...tree, "", ...(tag ? [`reset refs/tags/${tag}`, "from refs/heads/main", ""] : [])];
      });
      git(["fast-import", "--quiet"], { input: `${lines.join("\n")}\n` });
    },
    /** Tags a commit (the tip of main unless given); with a `message` the tag is annotated, and made at `date` (unix seconds). */
    tag(name, { at = "main", message, date } = {}) {
      const env = date === undefined ? {} : { GIT_COMMITTER_DATE: `${date} +0000` };
      git(["-c", "advice.nestedTag=false", "tag", "--force", ...(message ? ["-a", "-m", message] : []), name, at], { env });
    },
    /** Removes a branch or tag, by its full name (`refs/tags/v1`). */
    removeRef: (ref) => void git(["update-ref", "-d", ref]),
    /** Writes a file into the bare repository itself, such as `config`. */
    write(name, text) {
      mkdirSync(dirname(join(path, name)), { recursive: true });
      writeFileSync(join(path, name), text);
    },
  };
}

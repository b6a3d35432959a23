// The JavaScript half of bridge.rs. A call from wasm costs more than most of what it calls, so a request's head and a
// response cross over in one piece each, however many headers they have. Neither names nor values can hold a line
// break, which therefore stands between them.

/** The method, the URL, and each header's name and value. */
export function headOf(request) {
  let head = `${request.method}\n${request.url}`;
  request.headers.forEach((value, name) => {
    head += `\n${name}\n${value}`;
  });
  return head;
}

/**
 * What every answer says to browsers: take it for what it says it is, come back by HTTPS alone (heeded only when it came
 * that way), and tell nobody where you were, because links to a new password hold a secret.
 */
const ALWAYS = [
  ["x-content-type-options", "nosniff"],
  ["strict-transport-security", "max-age=31536000"],
  ["referrer-policy", "no-referrer"],
];

/**
 * Headers by the text they were made of. A `Response` copies them in a fraction of the time that it takes to read names
 * and values from JavaScript, and all but one of a warm answer's are those of the answer before.
 */
const made = new Map();
const MOST_MADE = 512;

function headersOf(head) {
  let headers = made.get(head);
  if (headers !== undefined) return headers;
  headers = new Headers(ALWAYS);
  const fields = head === "" ? [] : head.split("\n");
  for (let at = 0; at < fields.length; at += 2) headers.append(fields[at], fields[at + 1]);
  if (made.size >= MOST_MADE) made.clear();
  made.set(head, headers);
  return headers;
}

/**
 * A response; `head` holds each header's name and value, `remaining` is what is left of the caller's quota (negative:
 * not to be said), `body` is null, bytes, text or a stream.
 */
export function respond(status, head, remaining, body) {
  const response = new Response(body, { status, headers: headersOf(head) });
  if (remaining >= 0) response.headers.set("x-ratelimit-remaining", remaining);
  return response;
}

/** A response of the platform's, with the headers that ours all have. */
export function asOurs(response) {
  const ours = new Response(response.body, response);
  for (const [name, value] of ALWAYS) ours.headers.set(name, value);
  return ours;
}

/** `stream`, which has `length` bytes, as one whose length is known: the bucket takes no other. */
export function ofLength(stream, length) {
  return stream.pipeThrough(new FixedLengthStream(length));
}

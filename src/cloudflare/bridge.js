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

/** A response; `head` holds each header's name and value, `body` is null, bytes, text or a stream. */
export function respond(status, head, body) {
  const fields = head === "" ? [] : head.split("\n");
  // The runtime reads an object faster than pairs; only what comes again has to be added one by one.
  const headers = {};
  const again = [];
  for (let at = 0; at < fields.length; at += 2) {
    if (headers[fields[at]] === undefined) headers[fields[at]] = fields[at + 1];
    else again.push(at);
  }
  const response = new Response(body, { status, headers });
  for (const at of again) response.headers.append(fields[at], fields[at + 1]);
  return response;
}

/** `stream`, which has `length` bytes, as one whose length is known: the bucket takes no other. */
export function ofLength(stream, length) {
  return stream.pipeThrough(new FixedLengthStream(length));
}

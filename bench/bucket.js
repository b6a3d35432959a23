// A bucket in JavaScript's memory. The runtime's local one reads and writes its files on the thread that also runs the worker, so
// that nothing is answered meanwhile; R2 is elsewhere. With this one, a worker that keeps others waiting is to blame itself.
//
// It has what `src/cloudflare/r2.rs` asks of a bucket.

const blobs = new Map();
const uploads = new Map();

/** A value that is stored, as bytes. */
async function bytesOf(value) {
  return new Uint8Array(value instanceof ReadableStream ? await new Response(value).arrayBuffer() : value.slice());
}

function joined(pieces) {
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

class Upload {
  constructor(key, uploadId) {
    Object.assign(this, { key, uploadId });
  }

  async uploadPart(number, value) {
    uploads.get(this.uploadId).set(number, await bytesOf(value));
    return { partNumber: number, etag: String(number) };
  }

  async complete(parts) {
    const stored = uploads.get(this.uploadId);
    blobs.set(this.key, joined(parts.map(({ partNumber }) => stored.get(partNumber))));
    uploads.delete(this.uploadId);
  }

  async abort() {
    uploads.delete(this.uploadId);
  }
}

/** Named as the runtime names its own, which is how a binding is told. */
export class R2Bucket {
  async put(key, value) {
    blobs.set(key, await bytesOf(value));
  }

  async get(key, { range } = {}) {
    const bytes = blobs.get(key);
    if (bytes === undefined) return null;
    const { offset = 0, length = bytes.length } = range ?? {};
    const part = bytes.subarray(offset, offset + length);
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(part.slice());
        controller.close();
      },
    });
    return { key, size: bytes.length, body };
  }

  async delete(keys) {
    for (const key of [keys].flat()) blobs.delete(key);
  }

  async createMultipartUpload(key) {
    const uploadId = crypto.randomUUID();
    uploads.set(uploadId, new Map());
    return new Upload(key, uploadId);
  }

  resumeMultipartUpload(key, uploadId) {
    return new Upload(key, uploadId);
  }
}

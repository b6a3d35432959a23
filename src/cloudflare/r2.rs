//! The blob store: R2.

use bytes::Bytes;
use worker::send::{SendFuture, SendWrapper};
use worker::{Bucket, Data, Range, ResponseBody};

use super::bridge::{NativeStream, stream_of};
use crate::ports::{Blob, Blobs, BoxFuture, ByteRange, Fault};

/// One R2 bucket.
pub struct R2(SendWrapper<Bucket>);

impl R2 {
    /// The port on `bucket`.
    pub fn new(bucket: Bucket) -> Self {
        Self(SendWrapper::new(bucket))
    }

    /// One piece crosses over as it is. Several follow each other in a stream, so that the runtime never holds the whole
    /// blob beside ours.
    async fn write(&self, key: String, mut pieces: Vec<Bytes>) -> worker::Result<()> {
        let content: Data = match pieces.len() {
            0 | 1 => Vec::from(pieces.pop().unwrap_or_default()).into(),
            _ => stream_of(pieces)?.into(),
        };
        self.0.put(key, content).execute().await.map(drop)
    }

    async fn read(&self, key: String, range: Option<ByteRange>) -> worker::Result<Option<Blob>> {
        let mut request = self.0.get(key);
        if let Some(ByteRange { offset, length }) = range {
            request = request.range(Range::OffsetWithLength { offset, length });
        }
        let Some(object) = request.execute().await? else {
            return Ok(None);
        };
        let Some(ResponseBody::Stream(stream)) = object.body().map(worker::ObjectBody::response_body).transpose()?
        else {
            return Err(worker::Error::from("the object came without a body"));
        };
        Ok(Some(Blob { size: object.size(), body: Box::new(NativeStream::new(stream, "blobs")) }))
    }
}

impl Blobs for R2 {
    fn put(&self, key: &str, pieces: Vec<Bytes>) -> BoxFuture<'_, Result<(), Fault>> {
        let key = key.to_owned();
        Box::pin(SendFuture::new(async move { self.write(key, pieces).await.map_err(fault) }))
    }

    fn get(&self, key: &str, range: Option<ByteRange>) -> BoxFuture<'_, Result<Option<Blob>, Fault>> {
        let key = key.to_owned();
        Box::pin(SendFuture::new(async move { self.read(key, range).await.map_err(fault) }))
    }

    fn delete(&self, keys: Vec<String>) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(SendFuture::new(async move {
            if keys.is_empty() {
                return Ok(());
            }
            self.0.delete_multiple(keys).await.map_err(fault)
        }))
    }
}

fn fault(error: worker::Error) -> Fault {
    Fault::new("blobs", error)
}

//! The blob store: R2.

use bytes::Bytes;
use worker::send::{SendFuture, SendWrapper};
use worker::{Bucket, Range, ResponseBody};

use super::bridge::NativeStream;
use crate::ports::{Blob, Blobs, BoxFuture, ByteRange, Fault};

/// One R2 bucket.
pub struct R2(SendWrapper<Bucket>);

impl R2 {
    /// The port on `bucket`.
    pub fn new(bucket: Bucket) -> Self {
        Self(SendWrapper::new(bucket))
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
    fn put(&self, key: &str, bytes: Bytes) -> BoxFuture<'_, Result<(), Fault>> {
        let key = key.to_owned();
        Box::pin(SendFuture::new(
            async move { self.0.put(key, Vec::from(bytes)).execute().await.map(drop).map_err(fault) },
        ))
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

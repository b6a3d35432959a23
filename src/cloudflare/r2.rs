//! The blob store: R2.

use bytes::Bytes;
use worker::send::{SendFuture, SendWrapper};
use worker::{Bucket, Data, MultipartUpload, Object, Range, ResponseBody, UploadedPart};

use super::bridge::{NativeStream, stream_of};
use crate::ports::{Blob, BlobUpload, Blobs, BoxFuture, ByteRange, Fault, UploadProgress};

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
        let stream = body_of(&object)?;
        Ok(Some(Blob { size: object.size(), body: Box::new(NativeStream::new(stream, "blobs")) }))
    }

    /// R2 cannot rename: the bytes go from one object to the other inside of the runtime.
    async fn copy_and_delete(&self, from: String, to: String) -> worker::Result<()> {
        let object = self.0.get(from.as_str()).execute().await?;
        let object = object.ok_or_else(|| worker::Error::from("the object to rename is gone"))?;
        self.0.put(to, Data::ReadableStream(body_of(&object)?)).execute().await?;
        self.0.delete(from).await
    }
}

fn body_of(object: &Object) -> worker::Result<web_sys::ReadableStream> {
    match object.body().map(worker::ObjectBody::response_body).transpose()? {
        Some(ResponseBody::Stream(stream)) => Ok(stream),
        _ => Err(worker::Error::from("the object came without a body")),
    }
}

/// R2's multipart upload.
struct BlobMultipartUpload {
    upload: SendWrapper<MultipartUpload>,
    progress: UploadProgress,
}

impl BlobUpload for BlobMultipartUpload {
    fn put_part(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(SendFuture::new(async move {
            let number = part_number(self.progress.part_tags.len())?;
            let part = self.upload.upload_part(number, Vec::from(bytes)).await.map_err(fault)?;
            self.progress.part_tags.push(part.etag());
            Ok(())
        }))
    }

    fn progress(&self) -> UploadProgress {
        self.progress.clone()
    }

    fn complete(self: Box<Self>) -> BoxFuture<'static, Result<(), Fault>> {
        Box::pin(SendFuture::new(async move {
            let tags = self.progress.part_tags.into_iter().enumerate();
            let parts = tags.map(|(index, tag)| Ok(UploadedPart::new(part_number(index)?, tag)));
            let parts = parts.collect::<Result<Vec<UploadedPart>, Fault>>()?;
            self.upload.0.complete(parts).await.map(drop).map_err(fault)
        }))
    }

    fn abort(self: Box<Self>) -> BoxFuture<'static, Result<(), Fault>> {
        Box::pin(SendFuture::new(async move { self.upload.abort().await.map_err(fault) }))
    }
}

/// R2 counts parts from 1.
fn part_number(index: usize) -> Result<u16, Fault> {
    u16::try_from(index + 1).map_err(|error| Fault::new("blobs", error))
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

    fn upload(&self, key: &str) -> BoxFuture<'_, Result<Box<dyn BlobUpload>, Fault>> {
        let key = key.to_owned();
        Box::pin(SendFuture::new(async move {
            let upload = self.0.create_multipart_upload(key.as_str()).execute().await.map_err(fault)?;
            let progress = UploadProgress { key, id: upload.upload_id().await, part_tags: Vec::new() };
            Ok(Box::new(BlobMultipartUpload { upload: SendWrapper::new(upload), progress }) as Box<dyn BlobUpload>)
        }))
    }

    fn resume_upload(&self, progress: UploadProgress) -> Result<Box<dyn BlobUpload>, Fault> {
        let upload = self.0.resume_multipart_upload(progress.key.as_str(), progress.id.as_str()).map_err(fault)?;
        Ok(Box::new(BlobMultipartUpload { upload: SendWrapper::new(upload), progress }))
    }

    fn rename(&self, from: &str, to: &str) -> BoxFuture<'_, Result<(), Fault>> {
        let (from, to) = (from.to_owned(), to.to_owned());
        Box::pin(SendFuture::new(async move { self.copy_and_delete(from, to).await.map_err(fault) }))
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

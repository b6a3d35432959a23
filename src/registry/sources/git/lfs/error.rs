//! Why a file that Git LFS keeps cannot be had.

use crate::registry::kernel::outbound::RequestError;

/// Why an LFS server did not send a file.
#[derive(Debug, thiserror::Error)]
pub enum LfsError {
    /// No answer, or only the beginning of one.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// 401 or 403.
    #[error("it refuses the credentials (HTTP {status}); check `auth_credentials`")]
    Refused {
        /// HTTP status.
        status: u16,
    },
    /// 404 or 410 of its batch API.
    #[error(
        "it has no such repository, or the credentials may not see it (HTTP {status}); check `auth_credentials`, or set `lfs` \
         to false"
    )]
    NotFound {
        /// HTTP status.
        status: u16,
    },
    /// Any other status.
    #[error("it answers with HTTP {status}")]
    Status {
        /// HTTP status.
        status: u16,
    },
    /// What it says is something else.
    #[error("its answer is not that of an LFS server{}", place(.path))]
    Unreadable {
        /// Where in the answer that is seen.
        path: String,
    },
    /// It wants objects to be fetched in a way of its own.
    #[error("it hands objects out by `{}` only, which is not understood here", composer::excerpt(.0))]
    Transfer(String),
    /// It says so of the object.
    #[error("it answers with the error {code} for the file")]
    Object {
        /// As HTTP has them.
        code: u16,
    },
    /// It does not say what it was asked for.
    #[error("it does not say where the file is")]
    NoAddress,
    /// The file has another size.
    #[error("it sends {found} bytes or more in place of {expected}")]
    Size {
        /// Bytes that came.
        found: u64,
        /// Bytes that the pointer promises.
        expected: u64,
    },
    /// The file is another one.
    #[error("the SHA-256 of what it sends is {found}, but the pointer promises {expected}")]
    Hash {
        /// What came.
        found: String,
        /// What the pointer promises.
        expected: String,
    },
}

fn place(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!(" (`{path}` is not what it should be)") }
}

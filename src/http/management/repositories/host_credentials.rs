//! Credentials of a repository for other hosts, as `/api/repositories` takes and shows them.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::registry::sources::repositories::host_credentials::GivenHostCredential;
use crate::store::sources::host_credentials::CredentialHost;

/// Credentials for a host.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[schema(example = json!({"host": "cdn.example.com", "credential_type": "basic", "auth_credentials": "user:password"}))]
pub struct HostCredentialRequest {
    /// Its name, and `:` with the port if that is not 443. No other host is shown them, not even one below it.
    host: String,
    /// `token`, which is sent as a bearer token, or `basic`; follows from the credentials if it is absent.
    credential_type: Option<String>,
    /// The token; or `user:password`; or an object `{token}` or `{username, password}`. Never shown again. Absent in a change,
    /// it leaves the host those that it has.
    #[schema(value_type = Option<Value>)]
    auth_credentials: Option<Value>,
}

impl From<HostCredentialRequest> for GivenHostCredential {
    fn from(request: HostCredentialRequest) -> Self {
        let HostCredentialRequest { host, credential_type, auth_credentials } = request;
        Self { host, credential_type, auth_credentials }
    }
}

/// All that a request gives.
pub(super) fn given(requests: Vec<HostCredentialRequest>) -> Vec<GivenHostCredential> {
    requests.into_iter().map(GivenHostCredential::from).collect()
}

/// A host that a repository has credentials for, without these.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"host": "cdn.example.com", "credential_type": "basic"}))]
pub struct CredentialHostView {
    /// Its name, with the port if that is not 443.
    host: String,
    /// `token` or `basic`.
    credential_type: String,
}

impl From<CredentialHost> for CredentialHostView {
    fn from(CredentialHost { host, credential_type }: CredentialHost) -> Self {
        Self { host, credential_type }
    }
}

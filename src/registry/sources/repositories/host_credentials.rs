//! Credentials for other hosts than a repository's own: its zips may be on one that wants a login of its own. Composer looks
//! up by the host what it shows to whom, also when a redirect leads there; so does the registry, with what was given here.

use std::collections::HashSet;

use composer::excerpt;
use serde_json::{Value, json};

use crate::json::read_text;
use crate::registry::kernel::address_policy::check_url;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::registry::kernel::outbound::{HostAuthorization, host_of};
use crate::registry::kernel::provider::Provider;
use crate::registry::sources::repositories::credentials::{Credentials, type_named};
use crate::store::sources::host_credentials::{CredentialHost, StoredHostCredentials};

/// Most hosts that a repository has credentials for.
const MAX_HOSTS: usize = 20;

/// Credentials for a host, as a request gives them.
#[derive(Debug, Clone)]
pub struct GivenHostCredential {
    /// `cdn.example.com`, with `:` and the port if that is not 443.
    pub host: String,
    /// `token` or `basic`; follows from the credentials if it is absent.
    pub credential_type: Option<String>,
    /// See [`Credentials::read`]; without them, those stay that the host has.
    pub auth_credentials: Option<Value>,
}

/// Credentials for one host.
#[derive(Debug, Clone, PartialEq, Eq)]
struct HostCredential {
    host: String,
    credentials: Credentials,
}

/// A repository's credentials for other hosts, each host once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostCredentials(Vec<HostCredential>);

fn wrong(detail: impl Into<String>) -> Failure {
    Failure::invalid_field("host_credentials", detail)
}

impl HostCredentials {
    /// Reads all that a request gives; `known` are those that the repository has.
    pub fn read(app: &App, given: &[GivenHostCredential], known: &Self) -> Result<Self, Failure> {
        if given.len() > MAX_HOSTS {
            return Err(wrong(format!("must not hold more than {MAX_HOSTS} hosts")));
        }
        let read = |one| Self::read_one(app, one, known);
        let all = given.iter().map(read).collect::<Result<Vec<HostCredential>, Failure>>()?;
        let mut seen = HashSet::new();
        match all.iter().find(|one| !seen.insert(&one.host)) {
            Some(twice) => Err(wrong(format!("names `{}` twice", twice.host))),
            None => Ok(Self(all)),
        }
    }

    fn read_one(app: &App, given: &GivenHostCredential, known: &Self) -> Result<HostCredential, Failure> {
        let host = checked_host(app, &given.host)?;
        let stored = known.0.iter().find(|one| one.host == host).map(|one| &one.credentials);
        let is_of_type = |stored: &&Credentials| {
            given.credential_type.as_deref().is_none_or(|name| type_named(name) == stored.type_name())
        };
        if given.auth_credentials.is_none() {
            let kept = stored.filter(is_of_type).cloned();
            let detail = || wrong(format!("needs `auth_credentials` of `{host}`: there are none of this type to keep"));
            return Ok(HostCredential { credentials: kept.ok_or_else(detail)?, host });
        }
        let credentials = Credentials::read(given.credential_type.as_deref(), given.auth_credentials.as_ref());
        let credentials = credentials.map_err(|failure| wrong(format!("of `{host}`: {}", failure.detail)))?;
        Ok(HostCredential { host, credentials })
    }

    /// As they are stored with the repository with public id `uid`.
    pub fn seal(&self, app: &App, uid: &str) -> Result<StoredHostCredentials, Failure> {
        if self.0.is_empty() {
            return Ok(StoredHostCredentials::default());
        }
        let host = |one: &HostCredential| CredentialHost {
            host: one.host.clone(),
            credential_type: one.credentials.type_name().to_owned(),
        };
        let hosts: Vec<CredentialHost> = self.0.iter().map(host).collect();
        let secret = |one: &HostCredential| json!({ "host": one.host, "type": one.credentials.type_name(), "credentials": one.credentials.to_sealable() });
        let text = json!(self.0.iter().map(secret).collect::<Vec<Value>>()).to_string();
        let sealed = app.config.keyring.seal(&*app.ports.entropy, &seal_row(uid), &text);
        let sealed = sealed.map_err(Failure::internal_with_detail)?;
        Ok(StoredHostCredentials { hosts: Some(json!(hosts).to_string()), sealed: Some(sealed) })
    }

    /// Opens those that are stored with the repository with public id `uid`.
    pub fn open(app: &App, uid: &str, sealed: Option<&str>) -> Result<Self, Failure> {
        #[derive(serde::Deserialize)]
        struct Opened {
            host: String,
            r#type: String,
            credentials: Value,
        }
        let Some(sealed) = sealed else { return Ok(Self::default()) };
        let text = app.config.keyring.open(&seal_row(uid), sealed).map_err(Failure::internal)?;
        let opened: Vec<Opened> = read_text(&text).map_err(Failure::internal)?;
        let one = |one: Opened| {
            let credentials = Credentials::read(Some(&one.r#type), Some(&one.credentials))?;
            Ok(HostCredential { host: one.host, credentials })
        };
        Ok(Self(opened.into_iter().map(one).collect::<Result<_, Failure>>()?))
    }

    /// How they are sent: a token as a bearer token.
    pub fn authorizations(&self) -> Vec<HostAuthorization> {
        let one = |one: &HostCredential| {
            let authorization = one.credentials.authorization(Provider::Composer)?;
            Some(HostAuthorization { host: one.host.clone(), authorization })
        };
        self.0.iter().filter_map(one).collect()
    }
}

/// Checks the name of a host, as it is compared with that of an address.
fn checked_host(app: &App, host: &str) -> Result<String, Failure> {
    let odd = || {
        wrong(format!(
            "`{}` is no host, like `cdn.example.com` or `cdn.example.com:8443`",
            excerpt(host).escape_default()
        ))
    };
    if host.is_empty() || host.len() > 255 || host.contains(|c: char| "/?#@\\".contains(c) || c.is_whitespace()) {
        return Err(odd());
    }
    let url = check_url(&format!("https://{host}/"), app.address_policy())
        .map_err(|error| wrong(format!("`{}`: the address {error}", excerpt(host).escape_default())))?;
    Ok(host_of(&url))
}

/// What a repository's credentials for other hosts are sealed to.
pub fn seal_row(uid: &str) -> String {
    format!("repository/{uid}/host-credentials")
}

//! Registering, syncing on demand and removing repositories.

use std::time::Duration;

use serde_json::{Value, json};

use crate::git::PackagePath;
use crate::ports::{DatabaseError, Job, Millis};
use crate::registry::App;
use crate::registry::audit::{Actor, Deed};
use crate::registry::failure::{Failure, Kind};
use crate::registry::ids::new_uid;
use crate::registry::upstream::{Authorization, Reach, check_url};
use crate::store::organizations;
use crate::store::repositories::{self, NewRepository, RepositoryRow};
use crate::store::sync_runs::{self, RunRow};
use crate::store::{Page, run};

/// What kind of host serves a repository: decides how credentials are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Any git server that speaks smart HTTP.
    Git,
    /// github.com or GitHub Enterprise.
    GitHub,
    /// gitlab.com or a GitLab of one's own.
    GitLab,
    /// bitbucket.org.
    Bitbucket,
    /// Gitea or Forgejo.
    Gitea,
}

const PROVIDERS: [(Provider, &str); 5] = [
    (Provider::Git, "git"),
    (Provider::GitHub, "github"),
    (Provider::GitLab, "gitlab"),
    (Provider::Bitbucket, "bitbucket"),
    (Provider::Gitea, "gitea"),
];

impl Provider {
    /// Reads a provider's name.
    pub fn parse(name: &str) -> Option<Self> {
        PROVIDERS.iter().find(|(_, known)| *known == name).map(|(provider, _)| *provider)
    }

    /// The provider's name.
    pub fn as_str(self) -> &'static str {
        PROVIDERS.iter().find(|(provider, _)| *provider == self).map_or("", |(_, name)| name)
    }

    /// The user name that the host's documentation asks for beside an access token. Hosts that do not care get
    /// GitHub's.
    fn token_user(self) -> &'static str {
        match self {
            Self::GitLab => "oauth2",
            Self::Bitbucket => "x-token-auth",
            Self::Git | Self::GitHub | Self::Gitea => "x-access-token",
        }
    }
}

/// Credentials for a repository's host.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A public repository.
    None,
    /// An access token.
    Token(String),
    /// User name and password.
    Basic {
        /// User name.
        username: String,
        /// Password.
        password: String,
    },
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials::{}(…)", self.type_name())
    }
}

impl Credentials {
    /// Reads `credential_type` and `auth_credentials` of a request: a string (`token`, or `user:password`) or an object
    /// (`{token}`, or `{username, password}`). Without a type, the form of the credentials tells it.
    pub fn read(credential_type: Option<&str>, given: Option<&Value>) -> Result<Self, Failure> {
        let wrong = |detail: &str| Failure::invalid_field("auth_credentials", detail);
        let text = |key: &str| given.and_then(|value| value.get(key)).and_then(Value::as_str).map(str::to_owned);
        let token = || given.and_then(Value::as_str).map(str::to_owned).or_else(|| text("token"));
        let basic = || {
            let pair = given.and_then(Value::as_str).and_then(|text| text.split_once(':'));
            pair.map(|(user, password)| (user.to_owned(), password.to_owned()))
                .or_else(|| Some((text("username")?, text("password")?)))
        };
        let credentials = match credential_type {
            None | Some("none") if given.is_none() => Self::None,
            None if text("username").is_some() => {
                let (username, password) = basic().ok_or_else(|| wrong("needs a `password` beside `username`"))?;
                Self::Basic { username, password }
            }
            None | Some("token") => {
                Self::Token(token().ok_or_else(|| wrong("must be the token, or an object with `token`"))?)
            }
            Some("basic" | "http_basic") => {
                let (username, password) = basic()
                    .ok_or_else(|| wrong("must be `user:password`, or an object with `username` and `password`"))?;
                Self::Basic { username, password }
            }
            Some("none") => return Err(wrong("must be absent when `credential_type` is `none`")),
            Some(other) => {
                let detail = format!("`{}` is none of `none`, `token`, `basic`", other.escape_default());
                return Err(Failure::invalid_field("credential_type", detail));
            }
        };
        credentials.check(given)?;
        Ok(credentials)
    }

    fn check(&self, given: Option<&Value>) -> Result<(), Failure> {
        let wrong = |detail: &str| Err(Failure::invalid_field("auth_credentials", detail));
        let parts: &[&str] = match self {
            Self::None => &[],
            Self::Token(token) => &[token],
            Self::Basic { username, password } => &[username, password],
        };
        if parts.iter().any(|part| part.is_empty() || part.len() > 4096 || part.contains(char::is_control)) {
            return wrong("must be neither empty nor longer than 4096 bytes, without control characters");
        }
        if let Some(Value::Object(object)) = given
            && let Some(key) = object.keys().find(|key| !["token", "username", "password"].contains(&key.as_str()))
        {
            return wrong(&format!("has an unknown field `{}`", key.escape_default()));
        }
        Ok(())
    }

    /// The stored name of their type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Token(_) => "token",
            Self::Basic { .. } => "basic",
        }
    }

    fn to_sealable(&self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Token(token) => Some(json!({ "token": token }).to_string()),
            Self::Basic { username, password } => {
                Some(json!({ "username": username, "password": password }).to_string())
            }
        }
    }

    /// Opens the stored credentials of the repository with public id `uid`.
    pub fn open(app: &App, uid: &str, type_name: &str, sealed: Option<&str>) -> Result<Self, Failure> {
        let Some(sealed) = sealed else { return Ok(Self::None) };
        let opened = app.config.keyring.open(&seal_row(uid), sealed).map_err(Failure::internal)?;
        let value: Value = serde_json::from_str(&opened).map_err(Failure::internal)?;
        Self::read(Some(type_name), Some(&value))
    }

    /// How they are sent to `provider`.
    pub fn authorization(&self, provider: Provider) -> Option<Authorization> {
        match self {
            Self::None => None,
            Self::Token(token) => Authorization::basic(provider.token_user(), token),
            Self::Basic { username, password } => Authorization::basic(username, password),
        }
    }
}

/// What a repository's credentials are sealed to.
fn seal_row(uid: &str) -> String {
    format!("repository/{uid}/credentials")
}

/// A request to register a repository.
#[derive(Debug, Clone)]
pub struct RepositorySpec {
    /// Where it is.
    pub url: String,
    /// The host's kind.
    pub provider: Provider,
    /// Credentials.
    pub credentials: Credentials,
    /// The package's sub-directory.
    pub path: Option<String>,
    /// Globs; only tags that match one become versions.
    pub tag_filter: Option<Vec<String>>,
    /// Globs; only branches that match one become versions.
    pub branch_filter: Option<Vec<String>>,
}

const MAX_URL: usize = 2048;
const MAX_FILTERS: usize = 100;

fn checked_filter(field: &str, filter: Option<Vec<String>>) -> Result<Option<String>, Failure> {
    let Some(globs) = filter else { return Ok(None) };
    if globs.is_empty() || globs.len() > MAX_FILTERS {
        return Err(Failure::invalid_field(field, format!("must hold 1 to {MAX_FILTERS} globs, or be null for all")));
    }
    if globs.iter().any(|glob| glob.is_empty() || glob.len() > 255 || glob.contains(char::is_control)) {
        return Err(Failure::invalid_field(field, "holds a glob that is empty, too long or has control characters"));
    }
    Ok(Some(json!(globs).to_string()))
}

/// Registers a repository and asks for its first sync.
pub async fn register(app: &App, by: &Actor, spec: RepositorySpec) -> Result<RepositoryRow, Failure> {
    let reach = if app.config.allow_private_upstreams { Reach::Anywhere } else { Reach::Public };
    if spec.url.len() > MAX_URL {
        return Err(Failure::invalid_field("url", format!("must not be longer than {MAX_URL} characters")));
    }
    let url = check_url(&spec.url, reach).map_err(|error| Failure::invalid_field("url", error.to_string()))?;
    let path = match spec.path.as_deref().map(|path| path.trim_matches('/')).filter(|path| !path.is_empty()) {
        Some(path) => PackagePath::parse(path)
            .map_err(|error| Failure::invalid_field("path", error.to_string()))?
            .as_str()
            .to_owned(),
        None => String::new(),
    };
    let tag_filter = checked_filter("tag_filter", spec.tag_filter)?;
    let branch_filter = checked_filter("branch_filter", spec.branch_filter)?;
    let now = app.now();
    let uid = new_uid(&*app.ports.entropy, now)?;
    let credentials = spec
        .credentials
        .to_sealable()
        .map(|text| app.config.keyring.seal(&*app.ports.entropy, &seal_row(&uid), &text))
        .transpose()
        .map_err(|error| Failure { detail: error.to_string(), ..Failure::internal(error) })?;
    let new = NewRepository {
        uid: &uid,
        organization_id: by.organization_id,
        kind: "git",
        provider: spec.provider.as_str(),
        url: url.as_str().trim_end_matches('/'),
        path: &path,
        tag_filter,
        branch_filter,
        credential_type: spec.credentials.type_name(),
        credentials,
        created_at: now,
    };
    let deed = Deed {
        action: "repository.created",
        target: &uid,
        label: Some(new.url),
        details: json!({ "provider": new.provider, "path": new.path, "credential_type": new.credential_type }),
    };
    let noted = by.note(app, &deed)?;
    let row = repositories::insert(&*app.ports.database, new, noted).await.map_err(|error| match error {
        DatabaseError::Conflict(_) => Failure::new(
            Kind::Conflict,
            "A repository with this URL and path is registered already. Ask for its sync, or remove it first.",
        ),
        DatabaseError::Fault(fault) => fault.into(),
    })?;
    let row = row.ok_or_else(|| Failure::not_found("Repository"))?;
    app.enqueue(Job::SyncRepository { repository_id: row.id }, Duration::ZERO).await;
    Ok(row)
}

/// Asks for a sync. When one is running already, another follows it.
pub async fn request_sync(app: &App, by: &Actor, uid: &str) -> Result<RepositoryRow, Failure> {
    let deed = Deed { action: "repository.sync_requested", target: uid, label: None, details: json!({}) };
    let noted = by.note(app, &deed)?;
    let row = repositories::request_sync(&*app.ports.database, by.organization_id, uid, noted).await?;
    let row = row.ok_or_else(|| Failure::not_found("Repository"))?;
    if row.kind == "artifact" {
        return Err(Failure::new(Kind::Conflict, "This repository holds uploaded zips: there is nothing to sync."));
    }
    app.enqueue(Job::SyncRepository { repository_id: row.id }, Duration::ZERO).await;
    Ok(row)
}

/// One repository.
pub async fn get(app: &App, organization_id: i64, uid: &str) -> Result<RepositoryRow, Failure> {
    let row = run(&*app.ports.database, repositories::by_uid(organization_id, uid)).await?.first()?;
    row.ok_or_else(|| Failure::not_found("Repository"))
}

/// A page of repositories, and how many there are in all.
pub async fn list(app: &App, organization_id: i64, page: Page) -> Result<(Vec<RepositoryRow>, i64), Failure> {
    Ok(repositories::page(&*app.ports.database, organization_id, page).await?)
}

/// A page of a repository's sync runs, newest first, and how many there are in all.
pub async fn history(app: &App, organization_id: i64, uid: &str, page: Page) -> Result<(Vec<RunRow>, i64), Failure> {
    let runs = sync_runs::page(&*app.ports.database, organization_id, uid, page).await?;
    runs.ok_or_else(|| Failure::not_found("Repository"))
}

/// Removes a repository with its packages.
pub async fn remove(app: &App, by: &Actor, uid: &str) -> Result<(), Failure> {
    let batch = vec![
        organizations::touch_for_repository(by.organization_id, uid, app.now()),
        repositories::delete(by.organization_id, uid),
        by.note(app, &Deed { action: "repository.removed", target: uid, label: None, details: json!({}) })?,
    ];
    let deleted = app.ports.database.batch(batch).await?.into_iter().nth(1).unwrap_or_default();
    if deleted.0.is_empty() {
        return Err(Failure::not_found("Repository"));
    }
    app.memory.forget_published();
    Ok(())
}

/// What a repository's latest run says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncStatus {
    /// A sync was asked for and has not begun.
    Pending,
    /// One is running.
    Syncing,
    /// The latest one went through.
    Ok,
    /// The latest one failed or was cut off.
    Failed,
}

impl SyncStatus {
    /// `pending`, `syncing`, `ok` or `failed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Syncing => "syncing",
            Self::Ok => "ok",
            Self::Failed => "failed",
        }
    }
}

/// What is told of a sync whose lease ended before it did.
const CUT_OFF: &str = "The last sync was cut off before it ended. It will be tried again.";

/// A run's status at `now`, and what to tell of its failure.
pub fn run_status(run: &RunRow, now: Millis) -> (SyncStatus, Option<&str>) {
    match (run.finished_at, run.outcome.as_deref()) {
        (None, _) if now < run.lease_until => (SyncStatus::Syncing, None),
        (None, _) => (SyncStatus::Failed, Some(CUT_OFF)),
        (Some(_), Some("ok")) => (SyncStatus::Ok, None),
        (Some(_), _) => (SyncStatus::Failed, run.error.as_deref()),
    }
}

/// A repository's status at `now`, and what to tell of its latest failure.
pub fn status(row: &RepositoryRow, now: Millis) -> (SyncStatus, Option<&str>) {
    if row.kind == "artifact" {
        return (SyncStatus::Ok, None);
    }
    let run = &row.last_run;
    let Some(answered) = run.run_request_seq else { return (SyncStatus::Pending, None) };
    if run.run_finished_at.is_none() {
        return match run.run_lease_until {
            Some(until) if now < until => (SyncStatus::Syncing, None),
            _ => (SyncStatus::Failed, Some(CUT_OFF)),
        };
    }
    let error = run.run_error.as_deref();
    match run.run_outcome.as_deref() {
        _ if row.request_seq > answered => (SyncStatus::Pending, error),
        Some("ok") => (SyncStatus::Ok, None),
        _ => (SyncStatus::Failed, error),
    }
}

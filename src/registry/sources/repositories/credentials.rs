//! Credentials for a repository's host: read from a request, sealed for the database, opened for a request upstream.

use composer::excerpt;
use serde_json::{Value, json};

use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::registry::kernel::outbound::Authorization;
use crate::registry::kernel::provider::Provider;

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
            None | Some("token" | "bearer") => {
                Self::Token(token().ok_or_else(|| wrong("must be the token, or an object with `token`"))?)
            }
            Some("basic" | "http_basic") => {
                let (username, password) = basic()
                    .ok_or_else(|| wrong("must be `user:password`, or an object with `username` and `password`"))?;
                Self::Basic { username, password }
            }
            Some("none") => return Err(wrong("must be absent when `credential_type` is `none`")),
            Some(other) => {
                let detail = format!("`{}` is not one of `none`, `token`, `basic`", excerpt(other).escape_default());
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
            return wrong(&format!("has an unknown field `{}`", excerpt(key).escape_default()));
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

    /// Seals them for the repository with public id `uid`; `None` when there are none.
    pub fn seal(&self, app: &App, uid: &str) -> Result<Option<String>, Failure> {
        let seal = |value: Value| app.config.keyring.seal(&*app.ports.entropy, &seal_row(uid), &value.to_string());
        let sealed = self.to_sealable().map(seal);
        sealed.transpose().map_err(Failure::internal_with_detail)
    }

    /// As [`Credentials::read`] takes them, for whoever seals them; `None` when there are none.
    pub(super) fn to_sealable(&self) -> Option<Value> {
        match self {
            Self::None => None,
            Self::Token(token) => Some(json!({ "token": token })),
            Self::Basic { username, password } => Some(json!({ "username": username, "password": password })),
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
            Self::Token(token) if provider == Provider::Composer => Authorization::bearer(token),
            Self::Token(token) => Authorization::basic(provider.token_user(), token),
            Self::Basic { username, password } => Authorization::basic(username, password),
        }
    }

    /// How they are sent to the API of `provider`. GitLab's takes no HTTP Basic; whatever is a token there may be sent as one.
    pub fn api_authorization(&self, provider: Provider) -> Option<Authorization> {
        match self {
            Self::Token(secret) | Self::Basic { password: secret, .. } if provider == Provider::GitLab => {
                Authorization::bearer(secret)
            }
            _ => self.authorization(provider),
        }
    }
}

/// The stored name of a type that a request names.
pub fn type_named(name: &str) -> &str {
    match name {
        "http_basic" => "basic",
        "bearer" => "token",
        other => other,
    }
}

/// What a repository's credentials are sealed to.
pub fn seal_row(uid: &str) -> String {
    format!("repository/{uid}/credentials")
}

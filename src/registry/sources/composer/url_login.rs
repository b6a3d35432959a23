//! A login in the address of an archive (`https://user:password@host/…`). Composer sends it to that host; so does the
//! registry, which keeps it apart from the address, sealed, and shows it to nobody.

use composer::PackageName;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::Url;

use crate::json::read_text;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::registry::kernel::outbound::Authorization;
use crate::registry::kernel::secrets::SecretError;
use crate::store::OrganizationId;

/// A login for one origin.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UrlLogin {
    origin: String,
    username: String,
    password: String,
}

impl std::fmt::Debug for UrlLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UrlLogin({}, …)", self.origin)
    }
}

impl UrlLogin {
    /// The address without its login, and that; `None` when it has none.
    pub fn split(url: &str) -> Option<(String, Self)> {
        let mut url = Url::parse(url).ok()?;
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let (username, password) = (decoded(url.username()), decoded(url.password().unwrap_or_default()));
        if username.is_empty() && password.is_empty() {
            return None;
        }
        url.set_username("").and_then(|()| url.set_password(None)).ok()?;
        Some((url.to_string(), Self { origin: url.origin().ascii_serialization(), username, password }))
    }

    /// How it is sent to `url`, if it is meant for that.
    pub fn authorization(&self, url: &Url) -> Option<Authorization> {
        (url.origin().ascii_serialization() == self.origin)
            .then(|| Authorization::basic(&self.username, &self.password))
            .flatten()
    }

    /// Seals it for the archives of a package.
    pub fn seal(&self, app: &App, organization: OrganizationId, name: &PackageName) -> Result<String, SecretError> {
        app.config.keyring.seal(
            &*app.ports.entropy,
            &seal_row(&format!("{organization}/{name}")),
            &json!(self).to_string(),
        )
    }

    /// Opens one that was sealed for the archives of a package.
    pub fn open(app: &App, organization: OrganizationId, name: &PackageName, sealed: &str) -> Result<Self, Failure> {
        let row = seal_row(&format!("{organization}/{name}"));
        let opened = app.config.keyring.open(&row, sealed).map_err(Failure::internal)?;
        read_text(&opened).map_err(Failure::internal)
    }
}

/// What the logins of a package's archives are sealed to; `package` is its organization and its name, with a slash between
/// them.
pub fn seal_row(package: &str) -> String {
    format!("package/{package}/archive-login")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_taken_out_of_an_address_and_sent_to_its_origin_alone() {
        let (url, login) = UrlLogin::split("https://jo%40e:p%3Ass@cdn.test/a/%package%.zip?x=1").expect("a login");
        assert_eq!(url, "https://cdn.test/a/%package%.zip?x=1");
        assert_eq!((login.username.as_str(), login.password.as_str()), ("jo@e", "p:ss"));
        let authorization = |url: &str| login.authorization(&Url::parse(url).expect("a URL"));
        assert!(authorization("https://cdn.test/other.zip").is_some());
        assert!(authorization("https://cdn.test:8443/a.zip").is_none());
        assert!(authorization("http://cdn.test/a.zip").is_none());
        assert!(authorization("https://other.test/a.zip").is_none());
        assert_eq!(format!("{login:?}"), "UrlLogin(https://cdn.test, …)");
        assert_eq!(UrlLogin::split("https://cdn.test/a@b.zip"), None);
        assert_eq!(UrlLogin::split("no address"), None);
    }
}

//! What a shop shows its customers, to be copied into composer.

use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use crate::http::kit::extract::{BaseUrl, PathParams, StrictQuery};
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::StorefrontRead;
use crate::http::kit::response::ok;
use crate::http::storefront::id_of;
use crate::registry::kernel::failure::Failure;
use crate::registry::storefront::instructions::{self, Unavailable};

/// Stands for a password that the answer does not show.
const PASSWORD_PLACEHOLDER: &str = "<password>";
/// The user name that goes with a seat's token, which any does.
const TOKEN_USER: &str = "token";

/// What a shop shows its customer, to be copied.
#[derive(Serialize, ToSchema)]
pub struct InstructionsView {
    /// For `auth.json`; null for callers who are not shown the consumer's private key, and of a token.
    #[schema(value_type = Option<Object>, example = json!({"http-basic": {"registry.example.com": {"username": "zPMm…", "password": "XzVT…"}}}))]
    pub auth_json: Option<Value>,
    /// The same for an environment variable of CI, `COMPOSER_AUTH`.
    pub composer_auth: Option<String>,
    /// For `composer.json`.
    #[schema(value_type = Vec<Object>, example = json!([{"type": "composer", "url": "https://registry.example.com"}]))]
    pub repositories: Value,
    /// For `composer.json`: package → constraint, for what was bought and can be installed now.
    #[schema(value_type = Object, example = json!({"acme/extension": "5.*"}))]
    pub require: Value,
    /// The same as commands for a shell, in their order. Where `auth_json` is null, `<password>` stands for the password.
    pub commands: Vec<String>,
    /// The permissions that let nothing be installed now.
    pub unavailable: Vec<UnavailableView>,
}

/// A permission that lets nothing be installed now.
#[derive(Serialize, ToSchema)]
pub struct UnavailableView {
    /// The package's name, or a pattern of names.
    package: String,
    /// Which versions it is for, as composer writes it.
    version: String,
    /// For programs: `ended`, `updates_ended`, `no_package`, `no_version`, `too_unstable`, `hidden`, `yanked`, `no_zip` or
    /// `consumer_disabled`.
    code: &'static str,
    /// The same for people.
    reason: String,
}

impl From<Unavailable> for UnavailableView {
    fn from(Unavailable { package, version, reason }: Unavailable) -> Self {
        Self { package, version, code: reason.code(), reason: reason.text() }
    }
}

/// Whose instructions are asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct InstructionsQuery {
    /// The id of a token of the consumer: the instructions are for whoever has its seat. They do not show the token, which the
    /// answer that made it did.
    token: Option<String>,
}

/// What a shop shows a consumer, to be copied: credentials, repository, and requirements for just what was bought and can be
/// installed now.
#[utoipa::path(
    get,
    path = "/consumers/{id}/instructions",
    tag = "storefront",
    params(
        ("id" = i64, Path, description = "The consumer's id"),
        InstructionsQuery
    ),
    responses(
        (status = 200, description = "Instructions", body = InstructionsView),
        (status = 403, description = "or does not see all that the consumer was granted, whose token is asked about"),
        (status = 404, description = "No such consumer or token")
    )
)]
pub async fn get_instructions(
    auth: RequestAuth<StorefrontRead>,
    BaseUrl(url): BaseUrl,
    PathParams([id]): PathParams<1>,
    query: Result<StrictQuery<InstructionsQuery>, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let StrictQuery(query) = query?;
    let id = id_of(&id, "Consumer")?;
    let token = query.token.as_deref();
    let instructions = instructions::instructions(auth.app(), &issuer, id, token).await?;
    let consumer = instructions.consumer;
    let login = match token {
        None => Login { user: consumer.row.public_key, password: consumer.private_key },
        Some(_) => Login { user: TOKEN_USER.to_owned(), password: None },
    };
    let auth_json = login.auth_json(host_of(&url));
    let view = InstructionsView {
        composer_auth: auth_json.as_ref().map(Value::to_string),
        auth_json,
        repositories: json!([{"type": "composer", "url": url}]),
        commands: commands(&url, &login, instructions.require.iter()),
        require: json!(instructions.require),
        unavailable: instructions.unavailable.into_iter().map(UnavailableView::from).collect(),
    };
    Ok(ok(&view))
}

/// What composer authenticates with; nobody is shown a password that is `None`.
struct Login {
    user: String,
    password: Option<String>,
}

impl Login {
    fn auth_json(&self, host: &str) -> Option<Value> {
        let credentials = json!({"username": self.user, "password": self.password.as_ref()?});
        Some(json!({"http-basic": {host: credentials}}))
    }
}

/// The host of an address, by which alone composer's credentials go; a path belongs to the repository.
fn host_of(url: &str) -> &str {
    let address = url.split_once("://").map_or(url, |(_, address)| address);
    address.split_once('/').map_or(address, |(host, _)| host)
}

/// The lines for a shell in a project's folder: where the packages are, the credentials, and what to install.
fn commands<'r>(url: &str, login: &Login, require: impl Iterator<Item = (&'r String, &'r String)>) -> Vec<String> {
    let host = host_of(url);
    // A dot would begin the name of a setting.
    let name = host.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let password = login.password.as_deref().unwrap_or(PASSWORD_PLACEHOLDER);
    // A key that begins with a dash is no option.
    let ends_options =
        if [login.user.as_str(), password].iter().any(|word| word.starts_with('-')) { "-- " } else { "" };
    let mut commands = vec![
        format!("composer config repositories.{name} composer {}", shell_word(url)),
        format!(
            "composer config {ends_options}{} {} {}",
            shell_word(&format!("http-basic.{host}")),
            shell_word(&login.user),
            shell_word(password)
        ),
    ];
    commands.extend(require.map(|(name, constraint)| match constraint.as_str() {
        "*" => format!("composer require {name}"),
        constraint => format!("composer require {}", shell_word(&format!("{name}:{constraint}"))),
    }));
    commands
}

/// A word as a shell reads it, in quotes if it holds more than letters, digits and what no shell takes for anything else.
fn shell_word(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':' | '@' | '+' | ',');
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_key_holds_is_one_word_of_the_command() {
        let login = |user: &str, password: &str| Login { user: user.to_owned(), password: Some(password.to_owned()) };
        let of = |login: &Login| commands("https://registry.test:8443/shop", login, std::iter::empty()).remove(1);
        assert_eq!(of(&login("aB3", "cD4")), "composer config http-basic.registry.test:8443 aB3 cD4");
        assert_eq!(
            of(&login("a'b", "$(x) \"`!")),
            r#"composer config http-basic.registry.test:8443 'a'\''b' '$(x) "`!'"#
        );
        assert_eq!(of(&login("-a", "b")), "composer config -- http-basic.registry.test:8443 -a b");
    }
}

//! What a shop shows its customers, to be copied into composer.

use axum::response::Response;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::http::kit::extract::{BaseUrl, PathParams};
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::StorefrontRead;
use crate::http::kit::response::ok;
use crate::http::storefront::id_of;
use crate::registry::kernel::failure::Failure;
use crate::registry::storefront::instructions::{self, EntitledPackages};

/// What a shop shows its customer, to be copied.
#[derive(Serialize, ToSchema)]
pub struct InstructionsView {
    /// For `auth.json`; null for callers who are not shown the consumer's private key.
    #[schema(value_type = Option<Object>, example = json!({"http-basic": {"registry.example.com": {"username": "zPMm…", "password": "XzVT…"}}}))]
    pub auth_json: Option<Value>,
    /// For `composer.json`.
    #[schema(value_type = Vec<Object>, example = json!([{"type": "composer", "url": "https://registry.example.com"}]))]
    pub repositories: Value,
    /// For `composer.json`: package → constraint, for just what was bought.
    #[schema(value_type = Object, example = json!({"acme/extension": "5.*"}))]
    pub require: Value,
    /// The same as commands.
    pub commands: Vec<String>,
}

/// What a shop shows a consumer, to be copied: credentials, repository, and requirements for just what was bought.
#[utoipa::path(
    get,
    path = "/consumers/{id}/instructions",
    tag = "storefront",
    params(("id" = i64, Path, description = "The consumer's id")),
    responses(
        (status = 200, description = "Instructions", body = InstructionsView),
        (status = 404, description = "No such consumer")
    )
)]
pub async fn get_instructions(
    auth: RequestAuth<StorefrontRead>,
    BaseUrl(url): BaseUrl,
    PathParams([id]): PathParams<1>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let id = id_of(&id, "Consumer")?;
    let EntitledPackages { consumer, require } = instructions::entitled_packages(auth.app(), &issuer, id).await?;
    // Composer's credentials go by the host alone; a path belongs to the repository.
    let address = url.split_once("://").map_or(url.as_str(), |(_, address)| address);
    let host = address.split_once('/').map_or(address, |(host, _)| host);
    let auth_json = consumer.private_key.map(|private_key| {
        let credentials = json!({"username": consumer.row.public_key, "password": private_key});
        json!({"http-basic": {host: credentials}})
    });
    let mut commands = vec![format!("composer config repositories.{} composer {url}", repository_name(host))];
    commands.extend(
        require.iter().map(|(name, constraint)| format!("composer require {}", shell_requirement(name, constraint))),
    );
    let view = InstructionsView {
        auth_json,
        repositories: json!([{"type": "composer", "url": url}]),
        require: json!(require),
        commands,
    };
    Ok(ok(&view))
}

/// A repository's name as composer's `config` takes it: a dot would begin the name of a setting.
fn repository_name(host: &str) -> String {
    host.replace(|c: char| !c.is_ascii_alphanumeric(), "-")
}

/// A requirement, quoted for a shell.
fn shell_requirement(name: &str, constraint: &str) -> String {
    if constraint == "*" {
        return name.to_owned();
    }
    format!("'{name}:{}'", constraint.replace('\'', r"'\''"))
}

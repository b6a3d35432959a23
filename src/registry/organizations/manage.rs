//! Making and changing organizations.

use serde_json::json;

use crate::ports::DatabaseError;
use crate::registry::access::actor::Actor;
use crate::registry::kernel::app::App;
use crate::registry::kernel::audit::AuditEvent;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::kernel::ids::new_uid;
use crate::registry::kernel::validation::FieldErrors;
use crate::store::Update;
use crate::store::organizations::profiles::{
    NewOrganization, OrganizationChanges, OrganizationRow, by_id, insert, take_slug, update,
};

/// Most characters of a slug: as many as a host name may have between two dots.
const MAX_SLUG: usize = 63;
const MAX_NAME: usize = 100;
const MAX_DESCRIPTION: usize = 500;

/// What a request says that an organization should be.
#[derive(Debug, Clone, Default)]
pub struct OrganizationSpec {
    /// What its addresses have; made of the name if nothing is said.
    pub slug: Option<String>,
    /// What people call it.
    pub name: Option<String>,
    /// What it is for.
    pub description: Update<String>,
}

/// Makes an organization that has nothing yet.
///
/// # Errors
/// `Conflict` when the slug is taken.
pub async fn create(app: &App, by: &Actor, spec: OrganizationSpec) -> Result<OrganizationRow, Failure> {
    let mut wrong = FieldErrors::default();
    let OrganizationSpec { slug, name, description } = trimmed(spec);
    let description = description.into_value();
    if name.is_none() {
        wrong.push("name", "is required: say what people call the organization");
    }
    check(&mut wrong, name.as_deref(), description.as_deref());
    let name = name.unwrap_or_default();
    let slug = slug.unwrap_or_else(|| slug_of(&name));
    check_slug(&mut wrong, &slug);
    wrong.into_result()?;
    let now = app.now();
    let uid = new_uid(&*app.ports.entropy, now)?;
    let details = json!({ "slug": slug });
    let event = AuditEvent { action: "organization.created", target: &uid, label: Some(&name), details };
    let new = NewOrganization { uid: &uid, slug: &slug, name: &name, description: description.as_deref() };
    let noted = Some(by.record(app, &event)?);
    insert(&*app.ports.database, new, now, noted).await.map_err(|error| or_taken(&slug, error))?;
    Ok(OrganizationRow { uid, slug, name, description, created_at: now })
}

/// Changes what the request names. The addresses with a slug that it had before lead to those with its new one, until another
/// organization takes it.
///
/// # Errors
/// `Conflict` when the slug is taken.
pub async fn change(app: &App, by: &Actor, spec: OrganizationSpec) -> Result<OrganizationRow, Failure> {
    let mut wrong = FieldErrors::default();
    let OrganizationSpec { slug, name, description } = trimmed(spec);
    if let Some(slug) = &slug {
        check_slug(&mut wrong, slug);
    }
    let described = if let Update::Set(Some(text)) = &description { Some(text.as_str()) } else { None };
    check(&mut wrong, name.as_deref(), described);
    wrong.into_result()?;
    let organization = by.organization();
    let absent = || Failure::not_found("Organization");
    let before = app.ports.database.ask(by_id(organization)).await?.ok_or_else(absent)?;
    let details = json!({ "name": name, "slug": slug, "description": description.is_set() });
    let event = AuditEvent { action: "organization.changed", target: &before.uid, label: Some(&before.name), details };
    let freed = slug.as_deref().map(take_slug);
    let changes = OrganizationChanges { slug: slug.clone(), name, description };
    let batch = (update(organization, changes, app.now()), by.record(app, &event)?, freed, by_id(organization));
    let (_, (), _, after) =
        app.ports.database.ask(batch).await.map_err(|error| or_taken(slug.as_deref().unwrap_or_default(), error))?;
    after.ok_or_else(absent)
}

/// What is said of a slug that another organization has.
fn or_taken(slug: &str, error: DatabaseError) -> Failure {
    match error {
        DatabaseError::Conflict(_) => {
            let detail = format!("The slug `{slug}` is taken. Choose another.");
            Failure::new(Kind::Conflict, detail).with_field("slug", "is taken")
        }
        fault @ DatabaseError::Fault(_) => fault.into(),
    }
}

fn check_slug(wrong: &mut FieldErrors, slug: &str) {
    if !is_slug(slug) {
        let detail = format!(
            "must be 1 to {MAX_SLUG} lower-case letters, digits and hyphens, and begin and end with a letter or a digit"
        );
        wrong.push("slug", detail);
    }
}

fn trimmed(spec: OrganizationSpec) -> OrganizationSpec {
    let trim = |text: String| text.trim().to_owned();
    OrganizationSpec { slug: spec.slug, name: spec.name.map(trim), description: spec.description.map(trim) }
}

fn check(wrong: &mut FieldErrors, name: Option<&str>, description: Option<&str>) {
    wrong.check_text("name", name, MAX_NAME);
    wrong.check_text("description", description, MAX_DESCRIPTION);
}

fn is_slug(text: &str) -> bool {
    let is_edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.len() <= MAX_SLUG && is_edge(text.bytes().next()) && is_edge(text.bytes().last()) && text.bytes().all(is_inner)
}

/// A slug that is like a name: its letters and digits, with hyphens for what lies between.
fn slug_of(name: &str) -> String {
    let words = name.to_ascii_lowercase();
    let words = words.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_made_of_the_name_and_fits_an_address() {
        for (name, slug) in [("Acme", "acme"), ("My Organization", "my-organization"), (" A & B, Inc. ", "a-b-inc")] {
            assert_eq!(slug_of(name), slug);
            assert!(is_slug(slug));
        }
        for odd in ["", "-a", "a-", "A", "a b", "a/b", "ä", "a.b", &"a".repeat(64)] {
            assert!(!is_slug(odd), "{odd}");
        }
        assert!(is_slug("7") && is_slug(&"a".repeat(63)));
    }
}

//! What a request says that a token should be, and whether it may be so.

use composer::{Constraint, PackageName, Stability, excerpt};
use serde_json::{Map, Value, json};

use crate::ports::Millis;
use crate::registry::access::grant::{check_comparisons, everything, packages};
use crate::registry::access::scope::{Permissions, Scope};
use crate::registry::kernel::failure::Failure;
use crate::registry::kernel::validation::FieldErrors;
use crate::store::Update;
use crate::store::access::tokens::GrantRow;

/// A grant as a request states it.
#[derive(Debug, Clone, Default)]
pub struct GrantSpec {
    /// One package's name, instead of `pattern`.
    pub package: Option<String>,
    /// A pattern in which `*` stands for any characters.
    pub pattern: Option<String>,
    /// A Composer constraint; absent is every version.
    pub constraint: Option<String>,
    /// Only versions released up to this moment.
    pub updates_until: Option<Millis>,
    /// Composer's name of a stability; absent is `dev`, which leaves nothing out.
    pub minimum_stability: Option<String>,
    /// When the grant ends.
    pub expires_at: Option<Millis>,
}

/// What a request to issue or change a token says; every field is optional here.
#[derive(Debug, Clone, Default)]
pub struct TokenSpec {
    /// Free text.
    pub description: Option<String>,
    /// What it may do, in short, instead of `scopes`.
    pub permissions: Option<Permissions>,
    /// What it may do, scope by scope: `packages:read`, `repositories:*`.
    pub scopes: Option<Vec<String>>,
    /// When it ends.
    pub expires_at: Update<Millis>,
    /// Package names start with one of these; cleared: every package. Instead of `grants`.
    pub allowed_package_prefixes: Update<Vec<String>>,
    /// What it sees, grant by grant; none: no package.
    pub grants: Update<Vec<GrantSpec>>,
    /// Requests an hour.
    pub rate_limit_max: Update<i64>,
    /// The caller's own JSON object.
    pub metadata: Update<Map<String, Value>>,
    /// What its secret begins with, if not with what those of its kind do.
    pub prefix: Option<&'static str>,
}

/// A [`TokenSpec`] in which nothing is wrong.
#[derive(Debug, Clone)]
pub struct CheckedSpec {
    /// Free text, trimmed.
    pub description: Option<String>,
    /// What it may do.
    pub scopes: Option<Vec<Scope>>,
    /// When it ends.
    pub expires_at: Update<Millis>,
    /// What it may see.
    pub grants: Option<Vec<GrantRow>>,
    /// Requests an hour.
    pub rate_limit_max: Update<i64>,
    /// The caller's own JSON object.
    pub metadata: Update<Map<String, Value>>,
    /// The fields that the request names, for the audit log.
    pub named: Value,
}

const MAX_DESCRIPTION: usize = 500;
/// Most grants of a token or of a consumer.
pub const MAX_GRANTS: usize = 1000;
const MAX_TARGET: usize = 255;
const MAX_CONSTRAINT: usize = 500;
const MAX_METADATA_BYTES: usize = 16 << 10;
/// Most requests of any limit.
pub const MAX_RATE_LIMIT: i64 = 1_000_000_000;

impl TokenSpec {
    /// Checks every field and collects what is wrong with each.
    ///
    /// # Errors
    /// [`crate::registry::kernel::failure::Kind::Invalid`] with all of it.
    pub fn check(self) -> Result<CheckedSpec, Failure> {
        let mut wrong = FieldErrors::default();
        let named = self.named();
        let description = self.description.as_deref().map(str::trim);
        match description {
            Some("") => wrong.push("description", "must not be empty"),
            Some(text) if text.chars().count() > MAX_DESCRIPTION => {
                wrong.push("description", format!("must not be longer than {MAX_DESCRIPTION} characters"));
            }
            _ => {}
        }
        if let Update::Set(moment) = self.expires_at {
            wrong.check_moment("expires_at", moment);
        }
        if let Update::Set(Some(limit)) = self.rate_limit_max
            && !(1..=MAX_RATE_LIMIT).contains(&limit)
        {
            wrong.push("rate_limit_max", format!("must be between 1 and {MAX_RATE_LIMIT} requests an hour"));
        }
        let scopes = checked_scopes(self.permissions, self.scopes.as_deref(), &mut wrong);
        let grants = checked_grants(self.allowed_package_prefixes, self.grants, &mut wrong);
        if let Update::Set(Some(metadata)) = &self.metadata
            && json!(metadata).to_string().len() > MAX_METADATA_BYTES
        {
            wrong.push("metadata", format!("must not be larger than {MAX_METADATA_BYTES} bytes of JSON"));
        }
        wrong.into_result()?;
        Ok(CheckedSpec {
            description: description.map(str::to_owned),
            scopes,
            expires_at: self.expires_at,
            grants,
            rate_limit_max: self.rate_limit_max,
            metadata: self.metadata,
            named,
        })
    }

    fn named(&self) -> Value {
        let fields = [
            ("description", self.description.is_some()),
            ("permissions", self.permissions.is_some()),
            ("scopes", self.scopes.is_some()),
            ("expires_at", self.expires_at.is_set()),
            ("allowed_package_prefixes", self.allowed_package_prefixes.is_set()),
            ("grants", self.grants.is_set()),
            ("rate_limit_max", self.rate_limit_max.is_set()),
            ("metadata", self.metadata.is_set()),
        ];
        let named: Vec<&str> = fields.iter().filter(|(_, is_named)| *is_named).map(|(field, _)| *field).collect();
        json!({ "fields": named })
    }
}

fn checked_scopes(
    permissions: Option<Permissions>,
    names: Option<&[String]>,
    wrong: &mut FieldErrors,
) -> Option<Vec<Scope>> {
    let Some(names) = names else { return permissions.map(Permissions::scopes) };
    if permissions.is_some() {
        wrong.push(
            "scopes",
            "cannot be combined with `permissions`, which stands for some of them; send only one of the two",
        );
    }
    if names.is_empty() {
        wrong.push("scopes", "must name at least one scope");
    }
    if let Some(name) = names.iter().find(|name| Scope::named(name).is_empty()) {
        let all = Scope::all().map(Scope::as_str).collect::<Vec<_>>().join("`, `");
        wrong.push(
            "scopes",
            format!(
                "holds `{}`, which is none of `{all}`, nor an area like `packages:*`",
                excerpt(name).escape_default()
            ),
        );
    }
    let asked: Vec<Scope> = names.iter().flat_map(|name| Scope::named(name)).collect();
    Some(Scope::all().filter(|scope| asked.contains(scope)).collect())
}

fn checked_grants(
    prefixes: Update<Vec<String>>,
    grants: Update<Vec<GrantSpec>>,
    wrong: &mut FieldErrors,
) -> Option<Vec<GrantRow>> {
    match (prefixes, grants) {
        (Update::Keep, Update::Keep) => None,
        (Update::Set(None), Update::Keep) => Some(vec![everything()]),
        (Update::Set(Some(prefixes)), Update::Keep) => {
            let prefixes: Vec<String> = prefixes.iter().map(|prefix| prefix.to_ascii_lowercase()).collect();
            if let Some(text) = check_prefixes(&prefixes) {
                wrong.push("allowed_package_prefixes", text);
            }
            Some(prefixes.iter().map(|prefix| packages(&format!("{prefix}*"))).collect())
        }
        (Update::Keep, Update::Set(None)) => {
            wrong.push("grants", "must be a list; `[{\"pattern\": \"*\"}]` is every package, `[]` is none");
            None
        }
        (Update::Keep, Update::Set(Some(grants))) if grants.len() > MAX_GRANTS => {
            wrong.push("grants", format!("must not hold more than {MAX_GRANTS} grants"));
            None
        }
        (Update::Keep, Update::Set(Some(grants))) => {
            let names =
                |index| GrantFields { place: format!("grants[{index}]"), pattern: "pattern", constraint: "constraint" };
            let checked: Vec<GrantRow> =
                grants.into_iter().enumerate().map(|(index, grant)| grant.check(&names(index), wrong)).collect();
            if let Some(text) = check_comparisons(&checked) {
                wrong.push("grants", text);
            }
            Some(checked)
        }
        (Update::Set(_), Update::Set(_)) => {
            wrong.push("grants", "cannot be combined with `allowed_package_prefixes`, which stands for some of them");
            None
        }
    }
}

/// What a surface calls the fields of a grant.
pub struct GrantFields {
    /// Where in the request it stands; empty when it is the request.
    pub place: String,
    /// The field of a pattern of names.
    pub pattern: &'static str,
    /// The field of the Composer constraint.
    pub constraint: &'static str,
}

impl GrantFields {
    /// A field with its place.
    pub fn at(&self, field: &str) -> String {
        if self.place.is_empty() { field.to_owned() } else { format!("{}.{field}", self.place) }
    }
}

impl GrantSpec {
    /// Checks every field and notes what is wrong with each; of a grant with which something is wrong, the row means
    /// nothing.
    pub fn check(self, fields: &GrantFields, wrong: &mut FieldErrors) -> GrantRow {
        let at = |field: &str| fields.at(field);
        let target = match (self.package, self.pattern) {
            (Some(package), None) => {
                let name = PackageName::parse_ignoring_case(&package).map_err(|error| {
                    wrong.push(at("package"), format!("is not the name of a package: {error}"));
                });
                name.map(String::from).unwrap_or_default()
            }
            (None, Some(pattern)) => {
                let pattern = pattern.to_ascii_lowercase();
                if !is_pattern(&pattern) {
                    let text = "must be part of a package name with `*` for the rest, like `acme/*`";
                    wrong.push(at(fields.pattern), text);
                }
                pattern
            }
            _ => {
                wrong.push(fields.place.as_str(), "needs either `package` or `pattern`");
                String::new()
            }
        };
        let version_constraint = self.constraint.as_deref().map_or("*", str::trim).to_owned();
        if version_constraint.len() > MAX_CONSTRAINT {
            wrong.push(at(fields.constraint), format!("must not be longer than {MAX_CONSTRAINT} characters"));
        } else if let Err(error) = Constraint::parse(&version_constraint) {
            wrong
                .push(at(fields.constraint), format!("is not a version constraint that Composer understands: {error}"));
        }
        let stability = self.minimum_stability.as_deref().map_or(Ok(Stability::Dev), Stability::parse);
        if let Err(error) = &stability {
            wrong.push(at("minimum_stability"), format!("is wrong: {error}"));
        }
        wrong.check_moment(at("updates_until"), self.updates_until);
        wrong.check_moment(at("expires_at"), self.expires_at);
        GrantRow {
            target,
            version_constraint,
            updates_until: self.updates_until,
            minimum_stability: stability.unwrap_or(Stability::Dev).as_str().to_owned(),
            expires_at: self.expires_at,
        }
    }
}

/// Whether a text has none but the characters of package names in lower case, and those of `also`.
pub fn is_of_names(text: &str, also: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.-/".contains(c) || also.contains(c);
    !text.is_empty() && text.len() <= MAX_TARGET && text.chars().all(is_allowed)
}

fn is_pattern(text: &str) -> bool {
    text.contains('*') && is_of_names(text, "*")
}

fn check_prefixes(prefixes: &[String]) -> Option<String> {
    if prefixes.is_empty() {
        return Some("must name at least one prefix, or be null for every package".to_owned());
    }
    if prefixes.len() > MAX_GRANTS {
        return Some(format!("must not hold more than {MAX_GRANTS} prefixes"));
    }
    let bad = prefixes.iter().find(|prefix| !is_of_names(prefix, ""))?;
    Some(format!(
        "holds `{}`, which no package name starts with; use the beginning of a name, like `acme/`",
        excerpt(bad).escape_default()
    ))
}

/// The prefixes that stand for a token's grants: `None` when it sees everything, and of the others those that leave no
/// version out and never end.
pub fn prefixes_of(grants: &[GrantRow]) -> Option<Vec<&str>> {
    if grants.contains(&everything()) {
        return None;
    }
    Some(grants.iter().filter_map(prefix_of).collect())
}

fn prefix_of(grant: &GrantRow) -> Option<&str> {
    let prefix = grant.target.strip_suffix('*').filter(|prefix| !prefix.contains('*'))?;
    (*grant == packages(&grant.target)).then_some(prefix)
}

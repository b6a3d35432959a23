//! What a request says that a permission should be, and what it makes of one that there is.

use std::collections::HashMap;

use composer::Stability;
use serde_json::{Map, Value, json};

use crate::ports::Millis;
use crate::registry::identity::tokens::spec::{GrantFields, GrantSpec};
use crate::registry::kernel::validation::FieldErrors;
use crate::registry::storefront::consumers::check_external_id;
use crate::store::access::tokens::GrantRow;
use crate::store::storefront::entitlements::{self, Entitlement, NamedPackage};
use crate::store::{OrganizationId, Query, Update};

/// What a new permission lets through when the request does not say: a purchase hands out no branches.
const DEFAULT_STABILITY: Stability = Stability::Stable;

/// Most bytes of a permission's own JSON object: a consumer has up to 1,000 of them.
const MAX_METADATA_BYTES: usize = 1000;

/// What a request says that a permission should be; every field is optional here.
#[derive(Debug, Clone, Default)]
pub struct PermissionSpec {
    /// Whose it is.
    pub consumer_id: Option<i64>,
    /// Primary key of the package, instead of `package`.
    pub package_id: Option<i64>,
    /// The package's name, or a pattern in which `*` stands for any characters.
    pub package: Option<String>,
    /// A Composer constraint.
    pub version: Option<String>,
    /// When it ends.
    pub expires_at: Update<Millis>,
    /// Only versions released up to this moment.
    pub updates_until: Update<Millis>,
    /// Composer's name of a stability.
    pub minimum_stability: Option<String>,
    /// The shop's own id of the order that it was bought with.
    pub order_id: Update<String>,
    /// The shop's own JSON object.
    pub metadata: Update<Map<String, Value>>,
}

/// Names of packages by their primary keys.
pub type Names = HashMap<i64, String>;

/// The names of the packages that `specs` mean by their ids.
pub fn named_by<'s>(
    organization: OrganizationId,
    specs: impl IntoIterator<Item = &'s PermissionSpec>,
) -> Query<Vec<NamedPackage>> {
    let ids: Vec<i64> = specs.into_iter().filter_map(|spec| spec.package_id).collect();
    entitlements::packages(organization, json!(ids).to_string())
}

/// Names by primary keys.
pub fn names(packages: Vec<NamedPackage>) -> Names {
    packages.into_iter().map(|package| (package.id, package.name)).collect()
}

/// A permission as a request states it, in which nothing is wrong.
#[derive(Debug, Clone)]
pub struct StatedPermission {
    /// What it lets through when nothing else is known.
    pub grant: GrantRow,
    /// Whether the request names `minimum_stability`.
    names_stability: bool,
    /// The shop's own id of the order.
    pub order_id: Update<String>,
    /// The shop's own JSON object, as text.
    metadata: Update<String>,
}

impl StatedPermission {
    /// As a new permission.
    pub fn into_new(self) -> Entitlement {
        let (order_id, metadata) = (self.order_id.into_value(), self.metadata.into_value());
        Entitlement { grant: self.grant, order_id, metadata }
    }

    /// Over one that there is: what the request leaves out of stability, order and metadata stays.
    pub fn over(self, old: &Entitlement) -> Entitlement {
        let mut grant = self.grant;
        if !self.names_stability {
            grant.minimum_stability.clone_from(&old.grant.minimum_stability);
        }
        let kept = |update: Update<String>, old: &Option<String>| match update {
            Update::Keep => old.clone(),
            Update::Set(value) => value,
        };
        Entitlement {
            grant,
            order_id: kept(self.order_id, &old.order_id),
            metadata: kept(self.metadata, &old.metadata),
        }
    }

    /// Together with one that there is, so that all is let through which either does.
    pub fn extending(self, old: &Entitlement) -> Entitlement {
        let later = |one: Option<Millis>, other: Option<Millis>| Some(one?.max(other?));
        let (updates_until, expires_at) = (
            later(self.grant.updates_until, old.grant.updates_until),
            later(self.grant.expires_at, old.grant.expires_at),
        );
        let mut extended = self.over(old);
        let stability = |grant: &GrantRow| Stability::parse(&grant.minimum_stability).unwrap_or(DEFAULT_STABILITY);
        if stability(&extended.grant) < stability(&old.grant) {
            extended.grant.minimum_stability.clone_from(&old.grant.minimum_stability);
        }
        extended.grant = GrantRow { updates_until, expires_at, ..extended.grant };
        extended
    }

    /// Whether it is about `old`: the same package, the same constraint and, if it names one, the same order.
    pub fn is_about(&self, old: &Entitlement) -> bool {
        let is_order = match &self.order_id {
            Update::Keep => true,
            Update::Set(id) => *id == old.order_id,
        };
        is_order
            && self.grant.target == old.grant.target
            && self.grant.version_constraint == old.grant.version_constraint
    }
}

impl PermissionSpec {
    /// Checks what it says, over `old` when there is one, and notes what is wrong; `place` is where it stands in the request.
    pub fn check(
        self,
        place: String,
        old: Option<&GrantRow>,
        names: &Names,
        wrong: &mut FieldErrors,
    ) -> StatedPermission {
        let fields = GrantFields { place, pattern: "package", constraint: "version" };
        let target = self.target(old, &fields, names, wrong);
        let version = self.version.or_else(|| old.map(|old| old.version_constraint.clone()));
        if version.is_none() {
            wrong.push(fields.at("version"), "is required; `*` is every version");
        }
        check_external_id(&fields.at("order_id"), &self.order_id, wrong);
        let metadata = self.metadata.map(|metadata| json!(metadata).to_string());
        if let Update::Set(Some(text)) = &metadata
            && text.len() > MAX_METADATA_BYTES
        {
            wrong.push(fields.at("metadata"), format!("must not be larger than {MAX_METADATA_BYTES} bytes of JSON"));
        }
        let over =
            |update: Update<Millis>, kept: Option<Millis>| if update.is_set() { update.into_value() } else { kept };
        let is_pattern = target.contains('*');
        let names_stability = self.minimum_stability.is_some();
        let stability = self.minimum_stability.or_else(|| old.map(|old| old.minimum_stability.clone()));
        let spec = GrantSpec {
            package: Some(target.clone()).filter(|_| !is_pattern),
            pattern: Some(target).filter(|_| is_pattern),
            constraint: version,
            updates_until: over(self.updates_until, old.and_then(|old| old.updates_until)),
            minimum_stability: stability.or_else(|| Some(DEFAULT_STABILITY.as_str().to_owned())),
            expires_at: over(self.expires_at, old.and_then(|old| old.expires_at)),
        };
        StatedPermission { grant: spec.check(&fields, wrong), names_stability, order_id: self.order_id, metadata }
    }

    /// The package or the pattern that it names; something that is a name where there is none, so that what is wrong is told
    /// once.
    fn target(&self, old: Option<&GrantRow>, fields: &GrantFields, names: &Names, wrong: &mut FieldErrors) -> String {
        let target = match (self.package_id, &self.package) {
            (Some(id), None) => names.get(&id).cloned().ok_or(("package_id", "is not the id of a package")),
            (None, Some(target)) => Ok(target.clone()),
            (Some(_), Some(_)) => Err(("package", "cannot be combined with `package_id`")),
            (None, None) => old
                .map(|old| old.target.clone())
                .ok_or(("package_id", "is required, or `package` with a name or a pattern like `acme/*`")),
        };
        target.unwrap_or_else(|(field, text)| {
            wrong.push(fields.at(field), text);
            "vendor/package".to_owned()
        })
    }
}

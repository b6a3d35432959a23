//! The operations that have the organization in their path.

use serde_json::{Value, json};

use super::fixture::{NO_UID, OrganizationFixture};
use super::{Named, named};

/// What names nothing anywhere.
const NO_SLUG: &str = "nowhere";

/// What the foreign organization `of`, which is called `slug`, has, looked for in one's `own` one, and there where nothing is.
pub fn within_own(own: &str, of: &OrganizationFixture) -> Vec<Named> {
    let none = Value::Null;
    let (vendor, short) = of.name.split_once('/').expect("a name");
    let file = format!("{short}.json");
    let canonical = format!("1.0.0/{}.zip", of.reference);
    let by_uid = |operation, id: &str| named(operation, Value::Null, &[own, id], &[own, NO_UID]);
    let by_name = |operation, rest: &str| {
        named(operation, Value::Null, &[own, vendor, short, rest], &[own, "vendor", "absent", rest])
    };
    vec![
        by_uid("get_organization_package", &of.package),
        by_uid("sync_organization_repository", &of.repository),
        by_uid("delete_organization_token", &of.token),
        named(
            "get_organization_package",
            none.clone(),
            &[own, &of.name.replace('/', "%2F")],
            &[own, "vendor%2Fabsent"],
        ),
        named("get_organization_package_by_name", none.clone(), &[own, vendor, short], &[own, "vendor", "absent"]),
        named(
            "get_organization_package_metadata",
            none.clone(),
            &[own, vendor, &file],
            &[own, "vendor", "absent.json"],
        ),
        named("organization_list_providers", none.clone(), &[own, vendor, &file], &[own, "vendor", "absent.json"]),
        named("organization_list_platform_providers", none, &[own, &file], &[own, "absent.json"]),
        by_name("organization_get_dist", "1.0.0.zip"),
        by_name("organization_get_dist", &canonical),
        by_name("get_organization_zip", "1.0.0.zip"),
    ]
}

/// The foreign organization itself, which is called `slug`, and what it has.
pub fn of_foreign(slug: &str, of: &OrganizationFixture) -> Vec<Named> {
    let (vendor, short) = of.name.split_once('/').expect("a name");
    let file = format!("{short}.json");
    let with = |operation, body: Value, rest: &[&str]| {
        let path = |slug| [&[slug], rest].concat();
        named(operation, body, &path(slug), &path(NO_SLUG))
    };
    let alone = |operation| with(operation, Value::Null, &[]);
    vec![
        alone("get_organization"),
        alone("list_organization_packages"),
        alone("list_organization_repositories"),
        alone("list_organization_tokens"),
        alone("get_organization_packages_json"),
        alone("organization_list_package_names"),
        alone("organization_search_packages"),
        alone("organization_get_filter_summary"),
        with("update_organization", json!({"name": "x"}), &[]),
        with("create_organization_token", json!({"name": "x"}), &[]),
        with("organization_post_notify_batch", json!({"downloads": []}), &[]),
        with("organization_post_security_advisories", json!({}), &[]),
        with("organization_post_filter_lists", json!({"packages": []}), &[]),
        with("get_organization_package", Value::Null, &[&of.package]),
        with("get_organization_package_by_name", Value::Null, &[vendor, short]),
        with("get_organization_package_metadata", Value::Null, &[vendor, &file]),
        with("sync_organization_repository", Value::Null, &[&of.repository]),
        with("delete_organization_token", Value::Null, &[&of.token]),
        with("organization_list_providers", Value::Null, &[vendor, &file]),
        with("organization_list_platform_providers", Value::Null, &[&file]),
        with("organization_get_dist", Value::Null, &[vendor, short, "1.0.0.zip"]),
        with("get_organization_zip", Value::Null, &[vendor, short, "1.0.0.zip"]),
    ]
}

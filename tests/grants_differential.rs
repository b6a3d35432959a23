//! Whether a customer sees a version is what composer would say of the constraint that was granted: the same questions to
//! the registry and to the reference implementation.

#[path = "../crates/composer/tests/reference/mod.rs"]
mod reference;

use composer::{Constraint, normalize};
use rostrum::ports::Millis;
use rostrum::registry::access::grant::{self, Grant};
use rostrum::registry::access::view::View;
use rostrum::store::access::grants::GrantRow;
use rostrum::store::access::released::Released;
use serde_json::Value;

/// Whether who was granted the versions of a constraint sees a version.
fn sees(question: &Value) -> Value {
    let (version, constraint) = (question[0].as_str().expect("text"), question[1].as_str().expect("text"));
    let row = GrantRow { version_constraint: constraint.to_owned(), ..grant::packages("acme/lib") };
    let Ok(grant) = Grant::from_row(&row) else { return Value::Null };
    let version = normalize(version).expect("a version");
    View::new(rostrum::store::OrganizationId::ROOT, &[std::sync::Arc::new(grant)], Millis(0))
        .version_filter("acme/lib")
        .sees(&version, Some(Released::at(Millis(0))))
        .into()
}

#[test]
fn a_granted_constraint_shows_the_versions_that_satisfy_it() {
    reference::compare(&reference::questions(), &[("satisfies", &sees)]);
}

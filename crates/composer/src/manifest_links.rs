//! The rules of `ValidatingArrayLoader` for what a composer.json points to: other packages, its source and
//! archive, and the versions its branches stand for.

use serde_json::Value;

use crate::branch_alias::resolve;
use crate::constraint::Constraint;
use crate::manifest::{kind_of, violation};
use crate::manifest_rules::Checker;
use crate::name::{is_platform, naming_error};

/// The link types of a package, in the reference's order.
pub const LINK_TYPES: [&str; 5] = ["require", "conflict", "provide", "replace", "require-dev"];

/// A constraint that stands for the version of the package itself.
const SELF_VERSION: &str = "self.version";

impl Checker {
    /// Every link names a package that is not this one, and a constraint that can be read.
    pub(crate) fn check_links(&mut self) {
        let mut wrong = Vec::new();
        let mut odd = Vec::new();
        for link_type in LINK_TYPES {
            let links = match self.json.get(link_type) {
                None => continue,
                Some(Value::Array(list)) if list.is_empty() => continue,
                Some(Value::Object(links)) => links,
                Some(other) => {
                    let reason = format!("must be an object of package names and constraints, not {}", kind_of(other));
                    wrong.push(violation(link_type, reason));
                    continue;
                }
            };
            for (target, constraint) in links {
                let field = format!("{link_type}.{target}");
                match link_fault(&self.name, link_type, target, constraint) {
                    Some(reason) => wrong.push(violation(field, reason)),
                    None if is_platform(target) => {}
                    None => {
                        odd.extend(naming_error(target).map(|error| format!("{field}: {error}")));
                    }
                }
            }
        }
        let both = |field: &str| self.json.get(field).and_then(Value::as_object);
        if let (Some(conflicts), Some(replaced)) = (both("conflict"), both("replace")) {
            for target in conflicts.keys().filter(|target| replaced.contains_key(*target)) {
                let reason = "cannot conflict with a package that is also replaced: replacing it already implies that";
                wrong.push(violation(format!("conflict.{target}"), reason));
            }
        }
        self.violations.append(&mut wrong);
        self.warnings.append(&mut odd);
    }

    /// `source` and `dist` are complete, and cannot be taken for options of a command line.
    pub(crate) fn check_locations(&mut self) {
        for (field, required) in [("source", &["type", "url", "reference"][..]), ("dist", &["type", "url"])] {
            match self.json.get(field) {
                None => {}
                // Empty is as good as absent, for the reference; its client stops at an empty `source`.
                Some(Value::Object(location)) if location.is_empty() => {
                    drop(self.json.shift_remove(field));
                }
                Some(Value::Array(list)) if list.is_empty() => drop(self.json.shift_remove(field)),
                Some(Value::Object(location)) => {
                    let faults = ["type", "url", "reference"].into_iter().filter_map(|key| {
                        let value = location.get(key).filter(|value| !value.is_null());
                        let reason = location_fault(key, value, required.contains(&key))?;
                        Some(violation(format!("{field}.{key}"), reason))
                    });
                    self.violations.extend(faults);
                }
                Some(other) => {
                    let reason = format!("must be an object with {}, not {}", required.join(", "), kind_of(other));
                    self.error(field, reason);
                }
            }
        }
    }

    /// Removes every `extra.branch-alias` that Composer would ignore.
    pub(crate) fn check_branch_alias(&mut self) {
        let Some(aliases) = self.json.get_mut("extra").and_then(|extra| extra.get_mut("branch-alias")) else {
            return;
        };
        let mut dropped = Vec::new();
        match aliases {
            Value::Object(aliases) => aliases.retain(|source, target| {
                let fault = match target.as_str() {
                    None => Some(format!("the target must be a string, not {}", kind_of(target))),
                    Some(target) => resolve(source, target).err().map(|error| error.to_string()),
                };
                dropped
                    .extend(fault.iter().map(|fault| format!("extra.branch-alias.{source}: {fault}; it is left out")));
                fault.is_none()
            }),
            Value::Array(list) if list.is_empty() => {}
            Value::Null => {}
            other => {
                let reason = format!("must be an object of branches and versions, not {}", kind_of(other));
                self.error("extra.branch-alias", reason);
            }
        }
        self.warnings.append(&mut dropped);
    }
}

/// What is wrong with one key of `source` or `dist`, if anything.
fn location_fault(key: &str, value: Option<&Value>, required: bool) -> Option<String> {
    match value {
        None => required.then(|| "must be present".to_owned()),
        Some(Value::String(text)) if key != "type" && text.trim_start().starts_with('-') => {
            Some(format!("must not start with a \"-\", as {text:?} does"))
        }
        Some(Value::String(_)) => None,
        Some(Value::Number(number)) if key == "reference" && number.is_u64() => None,
        Some(other) => Some(format!("must be a string, not {}", kind_of(other))),
    }
}

/// Why a link cannot be published, if so.
fn link_fault(own_name: &str, link_type: &str, target: &str, constraint: &Value) -> Option<String> {
    if target.eq_ignore_ascii_case(own_name) {
        return Some(format!("a package cannot {} itself; remove the entry", link_type.trim_end_matches("-dev")));
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'/' | b'-');
    if target.is_empty() || !target.bytes().all(is_plain) {
        return Some("package names contain only letters, digits and \"_\", \".\", \"/\", \"-\"".to_owned());
    }
    let Some(constraint) = constraint.as_str() else {
        return Some(format!("must be a string with a version constraint, not {}", kind_of(constraint)));
    };
    if constraint == SELF_VERSION {
        return None;
    }
    Constraint::parse(constraint).err().map(|error| error.to_string())
}

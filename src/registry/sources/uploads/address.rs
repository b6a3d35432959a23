//! Which version of which package a zip is uploaded as, and what whoever uploads it says of that version.

use composer::{NormalizedVersion, PackageName, PrettyVersion, check_requirable, normalize_name};

use crate::ports::{Millis, Stmt};
use crate::registry::access::view::View;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::packages::released::check_stated;
use crate::store::access::released::Released;

/// Which version of which package a zip is uploaded as.
#[derive(Debug, Clone)]
pub struct UploadAddress {
    pub(super) name: PackageName,
    pub(super) pretty: PrettyVersion,
    pub(super) version: NormalizedVersion,
    /// Whether it is to be hidden; `None` leaves that as it is.
    pub hidden: Option<bool>,
    /// Whether it is a security fix; `None` leaves that as it is.
    pub security_fix: Option<bool>,
    /// When it was released; `None` leaves that as it is: it is when it is shown, unless its row states a date.
    pub released_at: Option<Millis>,
    /// A statement that belongs right behind the one that notes the upload.
    pub keep: Option<Stmt>,
}

impl UploadAddress {
    /// Reads an address, which `view` must cover: what somebody may not see, they may not publish.
    ///
    /// # Errors
    /// `Invalid` for what is no name or no version, `Forbidden` for what the view does not cover.
    pub fn parse(view: &View, name: &str, version: &str, now: Millis) -> Result<Self, Failure> {
        let name = PackageName::parse_ignoring_case(name)
            .map_err(|error| Failure::invalid_field("name", error.to_string()))?;
        let normalized = check_version("version", version)?;
        if !view.version_filter(name.as_str()).sees(&normalized, Some(Released::at(now))) {
            let message = format!("This token does not cover version {version} of {name}. Use one whose grants do.");
            return Err(Failure::new(Kind::Forbidden, message));
        }
        let pretty = version.into();
        Ok(Self { name, pretty, version: normalized, hidden: None, security_fix: None, released_at: None, keep: None })
    }

    /// The same of a version that was released at a moment which whoever publishes it states.
    ///
    /// # Errors
    /// `Invalid` for a date that cannot be true.
    pub fn released(self, at: Option<Millis>, now: Millis) -> Result<Self, Failure> {
        at.map_or(Ok(()), |at| check_stated(at, now))?;
        Ok(Self { released_at: at, ..self })
    }
}

/// A version that a zip may be published as; `field` is what the request calls it.
pub fn check_version(field: &str, version: &str) -> Result<NormalizedVersion, Failure> {
    let wrong = |reason: String| Failure::invalid_field(field, reason);
    if version.trim() != version || version.contains(char::is_control) {
        return Err(wrong("must have no blanks at its ends and no control characters".to_owned()));
    }
    let normalized = normalize_name(version).map_err(|error| wrong(error.to_string()))?;
    check_requirable(version, &normalized).map_err(|error| wrong(error.to_string()))?;
    Ok(normalized)
}

//! Package names: what a registry may publish, and which names belong to the platform.
//!
//! The rule is `ValidatingArrayLoader::hasPackageNamingError`, made stricter where a registry has to be:
//! platform names and upper case are refused, and a name has a maximum length.

use std::fmt;

use crate::excerpt::excerpt;

use serde::{Deserialize, Serialize};

/// Names that cannot be a directory on Windows, where vendor and package become directories.
const RESERVED: [&str; 22] = [
    "nul", "con", "prn", "aux", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9", "lpt1", "lpt2",
    "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
];

/// `vendor/package`, lower case, valid, never a platform package.
///
/// `~` cannot occur in it, so that the `~dev` of a metadata file name is never ambiguous.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PackageName(String);

/// Why a name was refused; each text says what to do instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPackageName {
    /// Longer than [`PackageName::MAX_BYTES`].
    #[error("the package name has {length} bytes, more than the {max} that are allowed; choose a shorter one")]
    TooLong {
        /// Bytes in the refused name.
        length: usize,
        /// Bytes that are allowed.
        max: usize,
    },
    /// `php`, `ext-json`, `composer-plugin-api`, …: provided by the machine, never by a registry.
    #[error("{} is a platform package, which no registry provides; use a name of the form vendor/package", excerpt(.name))]
    Platform {
        /// The refused name.
        name: String,
    },
    /// Not two words-with-separators around one slash.
    #[error(
        "{:?} is invalid: a name is a vendor, a slash and a package, each made of lower case letters and digits \
         separated by single \"-\", \".\" or \"_\" (the package also by \"--\"), for example acme/blog-api",
        excerpt(.name)
    )]
    Shape {
        /// The refused name.
        name: String,
    },
    /// One half is a device name of Windows.
    #[error("{} is reserved: {half} cannot be a directory on Windows; rename that half", excerpt(.name))]
    Reserved {
        /// The refused name.
        name: String,
        /// The half that is reserved.
        half: String,
    },
    /// Ends in `.json`, which would make metadata file names ambiguous.
    #[error("{} is invalid: names cannot end in .json; a -json suffix is fine", excerpt(.name))]
    EndsInJson {
        /// The refused name.
        name: String,
    },
    /// Upper case letters, which Composer compares without case but file systems do not.
    #[error("{} is invalid: it must not contain upper case letters; use {} instead", excerpt(.name), excerpt(.suggestion))]
    UpperCase {
        /// The refused name.
        name: String,
        /// A name that would be accepted.
        suggestion: String,
    },
}

impl PackageName {
    /// The longest accepted name. Composer has no limit; a name is part of URLs, of object keys (1024 bytes)
    /// and of directories (255 bytes on common file systems), and the latter is the narrowest.
    pub const MAX_BYTES: usize = 255;

    /// Accepts a name a registry may publish.
    ///
    /// # Errors
    /// One [`InvalidPackageName`] per rule that can be broken, in the reference's order.
    pub fn parse(name: &str) -> Result<Self, InvalidPackageName> {
        if name.len() > Self::MAX_BYTES {
            return Err(InvalidPackageName::TooLong { length: name.len(), max: Self::MAX_BYTES });
        }
        if is_platform(name) {
            return Err(InvalidPackageName::Platform { name: name.to_owned() });
        }
        naming_error(name).map_or_else(|| Ok(Self(name.to_owned())), Err)
    }

    /// The name that Composer means by `name` in any case: it looks packages up, and compares them, in lower case.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), but for upper case.
    pub fn parse_ignoring_case(name: &str) -> Result<Self, InvalidPackageName> {
        Self::parse(&name.to_ascii_lowercase())
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The half before the slash.
    pub fn vendor(&self) -> &str {
        self.0.split_once('/').map_or(&self.0, |(vendor, _)| vendor)
    }

    /// The half after the slash.
    pub fn package(&self) -> &str {
        self.0.split_once('/').map_or(&self.0, |(_, package)| package)
    }
}

/// What is wrong with a name that is not a platform name; `None` if nothing is.
pub(crate) fn naming_error(name: &str) -> Option<InvalidPackageName> {
    let shape = || InvalidPackageName::Shape { name: name.to_owned() };
    let Some((vendor, package)) = name.split_once('/') else {
        return Some(shape());
    };
    if !is_words(vendor, Hyphens::Single) || !is_words(package, Hyphens::SingleOrDouble) {
        return Some(shape());
    }
    for half in [vendor, package] {
        if RESERVED.iter().any(|reserved| half.eq_ignore_ascii_case(reserved)) {
            return Some(InvalidPackageName::Reserved { name: name.to_owned(), half: half.to_owned() });
        }
    }
    if name.to_ascii_lowercase().strip_suffix(".json").is_some() {
        return Some(InvalidPackageName::EndsInJson { name: name.to_owned() });
    }
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Some(InvalidPackageName::UpperCase { name: name.to_owned(), suggestion: suggest(name) });
    }
    None
}

/// How many hyphens may stand between two words.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hyphens {
    Single,
    SingleOrDouble,
}

/// Letters and digits in groups, separated by one `_`, `.` or `-` (or `--`).
fn is_words(text: &str, hyphens: Hyphens) -> bool {
    let bytes = text.as_bytes();
    let ends_well = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    if !ends_well(bytes.first()) || !ends_well(bytes.last()) {
        return false;
    }
    bytes.split(u8::is_ascii_alphanumeric).all(|separator| match separator {
        [] | [b'_' | b'.' | b'-'] => true,
        [b'-', b'-'] => hyphens == Hyphens::SingleOrDouble,
        _ => false,
    })
}

/// The lower-case name Composer suggests: `FooBar/BazQUX` becomes `foo-bar/baz-qux`.
fn suggest(name: &str) -> String {
    let bytes = name.as_bytes();
    let is = |at: usize, class: fn(&u8) -> bool| bytes.get(at).is_some_and(class);
    let mut suggestion = String::with_capacity(name.len() + 4);
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        suggestion.push(char::from(byte.to_ascii_lowercase()));
        at += 1;
        let camel = byte.is_ascii_lowercase() && is(at, u8::is_ascii_uppercase);
        let acronym = byte.is_ascii_uppercase() && is(at, u8::is_ascii_uppercase) && is(at + 1, u8::is_ascii_lowercase);
        if camel || acronym {
            suggestion.push('-');
        }
    }
    suggestion
}

/// Whether `name` is provided by the machine (`php`, `ext-*`, `lib-*`, `composer-*-api`): such a package is never
/// requested from a repository. The rule is `PlatformRepository::PLATFORM_PACKAGE_REGEX`; case does not matter.
pub fn is_platform(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let fixed = matches!(
        name.as_str(),
        "php"
            | "php-64bit"
            | "php-ipv6"
            | "php-zts"
            | "php-debug"
            | "hhvm"
            | "composer"
            | "composer-plugin-api"
            | "composer-runtime-api"
    );
    let prefixed = name.strip_prefix("ext-").or_else(|| name.strip_prefix("lib-"));
    fixed || prefixed.is_some_and(|rest| is_words(rest, Hyphens::Single))
}

impl fmt::Display for PackageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PackageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PackageName({})", self.0)
    }
}

impl AsRef<str> for PackageName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for PackageName {
    type Err = InvalidPackageName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::parse(name)
    }
}

impl TryFrom<String> for PackageName {
    type Error = InvalidPackageName;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::parse(&name)
    }
}

impl From<PackageName> for String {
    fn from(name: PackageName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_halves_of_a_name_are_told_apart() {
        let name = PackageName::parse("acme/blog--api").expect("valid");
        assert_eq!(
            (name.vendor(), name.package(), name.to_string()),
            ("acme", "blog--api", "acme/blog--api".to_owned())
        );
    }

    #[test]
    fn each_refusal_names_its_rule() {
        let error = |name: &str| PackageName::parse(name).expect_err(name);
        assert!(matches!(error("ext-json"), InvalidPackageName::Platform { .. }));
        assert!(matches!(error("acme"), InvalidPackageName::Shape { .. }));
        assert!(matches!(error("acme/con"), InvalidPackageName::Reserved { .. }));
        assert!(matches!(error("acme/a.json"), InvalidPackageName::EndsInJson { .. }));
        assert!(matches!(
            error(&format!("a/{}", "b".repeat(254))),
            InvalidPackageName::TooLong { length: 256, max: 255 }
        ));
        assert!(PackageName::parse(&format!("a/{}", "b".repeat(253))).is_ok());
    }

    #[test]
    fn upper_case_is_refused_with_the_name_composer_suggests() {
        let Err(InvalidPackageName::UpperCase { suggestion, .. }) = PackageName::parse("FooBar/BazQUXFoo") else {
            panic!("upper case must be refused");
        };
        assert_eq!(suggestion, "foo-bar/baz-qux-foo");
    }

    #[test]
    fn a_name_in_any_case_is_the_one_in_lower_case() {
        let parse = PackageName::parse_ignoring_case;
        assert_eq!(parse("Acme/Shop_Module"), PackageName::parse("acme/shop_module"));
        assert!(matches!(parse("Acme/CON"), Err(InvalidPackageName::Reserved { .. })));
    }

    #[test]
    fn deserializing_validates() {
        assert!(serde_json::from_str::<PackageName>("\"acme/blog\"").is_ok());
        assert!(serde_json::from_str::<PackageName>("\"Acme/blog\"").is_err());
    }
}

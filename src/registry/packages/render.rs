//! Rendering a package's documents, once, when it is published.
//!
//! Dist URLs are written without an origin (`rostrum:/dist/…`) and get the one that the reader asked at when they are
//! handed out ([`absolute`]): a publish comes from a queue and knows of none.

use composer::{
    Dist, DistType, DocumentForm, DocumentWriter, InvalidManifest, InvalidRepository, JsonBudget, Manifest, Map,
    NormalizedVersion, PackageName, RefVersion, Release, Source, Stability, read_package,
};
use serde_json::{Value, json};

use crate::ports::Millis;
use crate::registry::access::view::IndexedVersion;
use crate::registry::kernel::dates::{read_moment, rfc3339};
use crate::registry::kernel::git_address::ssh_address;
use crate::registry::packages::support::{FILLED_IN, fill_in};
use crate::store::kernel::source_protocol::SourceProtocol;
use crate::store::packages::publication::Summary;
use crate::store::packages::state::{LiveVersion, PackageSource};
use crate::store::packages::version_source::VersionSource;

/// Stands for the origin in stored documents. Quotes inside of JSON strings are escaped, so only a key `url` can
/// be found by it.
const ORIGIN_MARKER: &str = "\"url\":\"rostrum:/";
/// What [`dist_url`] begins with, as a value of the key `url`.
const ADDRESS_MARKER: &str = "\"url\":\"rostrum:/dist/";

/// A stored document with the URLs of `base_url` (an origin without a slash at the end), and without the marks of what the
/// registry has filled in.
pub fn absolute(text: &str, base_url: &str) -> String {
    let text = text.replace(ORIGIN_MARKER, &format!("\"url\":\"{base_url}/"));
    let mark = format!("\":\"{FILLED_IN}");
    if text.contains(&mark) { text.replace(&mark, "\":\"") } else { text }
}

/// The address of a version's archive, without its origin: `/dist/{vendor}/{package}/{version}/{reference}.zip`. It names
/// the commit, so what it leads to never changes. `ending` is that of [`DistType::address_ending`].
pub fn dist_url(name: &PackageName, version: &str, reference: &str, ending: &str) -> String {
    format!("rostrum:/dist/{name}/{}/{reference}{ending}", percent_encoded(version))
}

/// The same text, in which the address of each zip names the version alone, as `/packages/{vendor}/{package}/{version}.zip`.
pub fn addressed_by_version(text: &str) -> String {
    let mut rest = text;
    let mut addressed = String::with_capacity(text.len());
    while let Some((before, after)) = rest.split_once(ADDRESS_MARKER) {
        let (address, behind) = after.split_once('"').unwrap_or((after, ""));
        addressed.push_str(before);
        // Another kind of archive than a zip has no other address.
        match address.strip_suffix(".zip").and_then(|address| address.rsplit_once('/')) {
            Some((version, _reference)) => addressed.extend(["\"url\":\"rostrum:/packages/", version, ".zip\""]),
            None => addressed.extend([ADDRESS_MARKER, address, "\""]),
        }
        rest = behind;
    }
    addressed.push_str(rest);
    addressed
}

/// Stands for the commit in the address of a branch's zip. Composer puts the one in that is locked, so that somebody who
/// requires `dev-main#{commit}` gets that commit and not the branch's head under its name.
const REFERENCE_PLACEHOLDER: &str = "%reference%";

/// Everything but RFC 3986's unreserved characters and `+` percent-encoded: a branch may hold slashes, and composer
/// replaces placeholders that are spelled `%name%`, which this never yields.
fn percent_encoded(segment: &str) -> String {
    let mut encoded = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'+' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.extend(['%', hex_digit(byte >> 4), hex_digit(byte & 15)]),
        }
    }
    encoded
}

fn hex_digit(value: u8) -> char {
    char::from(b"0123456789ABCDEF"[usize::from(value & 15)])
}

/// A package's documents and what lists show of it.
pub struct Rendered {
    /// `{package}.json`.
    pub stable: String,
    /// `{package}~dev.json`.
    pub dev: String,
    /// For lists.
    pub summary: Summary,
}

impl Rendered {
    /// The same of a hidden package: without any version, but with what is said of it.
    #[must_use]
    pub fn withheld(self, name: &PackageName) -> Self {
        let summary = Summary { latest_version: None, version_index: None, ..self.summary };
        Self { summary, ..Renderer::new(name).finish(&[]) }
    }
}

/// Renders a package from those of its versions that are neither yanked nor hidden. One that there will never be a zip of
/// has no `dist`. `abandoned` is what the operator says in place of composer.json: `true`, `false` or the replacement's name.
///
/// # Errors
/// When a stored manifest does not parse any more; they are checked before they are stored.
pub fn render(
    name: &PackageName,
    source: &PackageSource,
    abandoned: Option<&str>,
    versions: &[LiveVersion],
) -> Result<Rendered, InvalidManifest> {
    let listed = || versions.iter().filter(|version| version.is_listed());
    let keyed = listed().map(|version| (NormalizedVersion::from_stored(version.normalized.clone()), version));
    let mut renderer = Renderer::new(name);
    for version in composer::newest_first(keyed.collect()) {
        let mut entry = entry(name, source, version)?;
        match abandoned {
            None => {}
            Some("false") => drop(entry.shift_remove("abandoned")),
            Some("true") => drop(entry.insert("abandoned".to_owned(), true.into())),
            Some(replacement) => drop(entry.insert("abandoned".to_owned(), replacement.into())),
        }
        // Nobody could install what has neither; lists go on showing it.
        if entry.contains_key("dist") || entry.contains_key("source") {
            renderer.push(entry);
        }
    }
    let index: Vec<IndexedVersion> = listed()
        .map(|version| IndexedVersion {
            normalized: version.normalized.clone(),
            released: version.released,
            pretty: version.pretty.to_string(),
        })
        .collect();
    Ok(renderer.finish(&index))
}

/// Renders a package from the entries of its versions; `index` is its version index.
pub fn render_entries(name: &PackageName, entries: Vec<Map>, index: &[IndexedVersion]) -> Rendered {
    let keyed = entries.into_iter().map(|entry| (composer::version_of(&entry), entry));
    let mut renderer = Renderer::new(name);
    for entry in composer::newest_first(keyed.collect()) {
        renderer.push(entry);
    }
    renderer.finish(index)
}

/// A package that is abandoned from now on.
pub struct Abandoned {
    /// Its documents.
    pub rendered: Rendered,
    /// The normalized version of its default branch.
    pub default_branch: Option<String>,
}

/// Makes a package abandoned that has these documents; `index` is its version index. What an entry says itself of that stays.
///
/// # Errors
/// When a stored document cannot be read.
pub fn render_abandoned(
    name: &PackageName,
    documents: [&str; 2],
    index: &[IndexedVersion],
) -> Result<Abandoned, InvalidRepository> {
    let mut renderer = Renderer::new(name);
    let mut default_branch = None;
    for document in documents {
        let read = read_package(document.as_bytes(), name, &mut JsonBudget::unbounded())?;
        // They stand in the order in which they were rendered.
        for mut entry in read.into_iter().flat_map(|document| document.versions) {
            let is_stated = entry.get("abandoned").is_some_and(|stated| *stated != Value::Bool(false));
            if !is_stated {
                entry.insert("abandoned".to_owned(), true.into());
            }
            if entry.contains_key("default-branch") {
                default_branch = Some(composer::version_of(&entry).as_str().to_owned());
            }
            renderer.push(entry);
        }
    }
    Ok(Abandoned { rendered: renderer.finish(index), default_branch })
}

/// Writes a package's documents entry by entry: together, the entries of a thousand versions would take half of an
/// isolate's memory.
struct Renderer {
    stable: DocumentWriter,
    dev: DocumentWriter,
    spokesman: Option<Spokesman>,
}

/// The version that speaks for its package, and how well it does.
struct Spokesman {
    standing: Standing,
    entry: Map,
}

/// What speaks for a package, the best last: the newest stable version, else the newest of the rest, else the default
/// branch, else the newest branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// A branch.
    Branch,
    /// The default branch.
    DefaultBranch,
    /// Less than stable, and no branch.
    Unstable,
    /// Stable.
    Stable,
}

impl Standing {
    /// That of a version, which may be the default branch.
    pub(super) fn of(version: &NormalizedVersion, is_default_branch: bool) -> Self {
        match version.stability() {
            Stability::Dev if is_default_branch => Self::DefaultBranch,
            Stability::Dev => Self::Branch,
            Stability::Stable => Self::Stable,
            Stability::Alpha | Stability::Beta | Stability::Rc => Self::Unstable,
        }
    }
}

impl Renderer {
    fn new(name: &PackageName) -> Self {
        let document = || DocumentWriter::new(name, DocumentForm::Minified);
        Self { stable: document(), dev: document(), spokesman: None }
    }

    /// Writes an entry, which comes after all newer ones.
    fn push(&mut self, entry: Map) {
        let version = composer::version_of(&entry);
        let standing = Standing::of(&version, entry.contains_key("default-branch"));
        if self.spokesman.as_ref().is_none_or(|spokesman| spokesman.standing < standing) {
            self.spokesman = Some(Spokesman { standing, entry: entry.clone() });
        }
        let document = if version.stability() == Stability::Dev { &mut self.dev } else { &mut self.stable };
        document.push(entry);
    }

    /// `index` is the package's version index.
    fn finish(self, index: &[IndexedVersion]) -> Rendered {
        let entry = self.spokesman.map(|spokesman| spokesman.entry);
        Rendered { stable: self.stable.finish(), dev: self.dev.finish(), summary: summarize(entry.as_ref(), index) }
    }
}

fn entry(name: &PackageName, source: &PackageSource, version: &LiveVersion) -> Result<Map, InvalidManifest> {
    let manifest = Manifest::parse_as(version.manifest.as_bytes(), name)?;
    let ref_version = RefVersion {
        pretty: version.pretty.clone(),
        normalized: NormalizedVersion::from_stored(version.normalized.clone()),
    };
    // From a sub-directory composer would check the whole repository out into `vendor`.
    let is_checked_out = version.source != VersionSource::Upload && source.path.is_empty();
    let mut entry = composer::metadata_entry(&Release {
        name,
        version: &ref_version,
        manifest: &manifest,
        source: is_checked_out.then(|| Source {
            kind: "git".to_owned(),
            url: shown_address(source),
            reference: version.reference.clone(),
        }),
        dist: version.dist_error.is_none().then(|| dist_of(name, version)),
        time: Some(rfc3339(own_time(&manifest).unwrap_or(version.made_at))),
        published_time: Some(rfc3339(version.published_at).into()),
        default_branch: version.is_default_branch,
    });
    fill_in(&mut entry, source, version);
    Ok(entry)
}

/// The address of a repository as developers are shown it.
fn shown_address(source: &PackageSource) -> String {
    match source.protocol {
        SourceProtocol::Https => source.url.clone(),
        SourceProtocol::Ssh => ssh_address(&source.url).unwrap_or_else(|| source.url.clone()),
    }
}

/// The `time` that composer.json states itself, as Composer takes it.
fn own_time(manifest: &Manifest) -> Option<Millis> {
    manifest.json().get("time").and_then(read_moment)
}

/// Where a version's zip is. Of a branch it may be that of another commit, whose hash nobody knows.
fn dist_of(name: &PackageName, version: &LiveVersion) -> Dist {
    let (reference, shasum) = if version.source.is_branch() {
        (REFERENCE_PLACEHOLDER, None)
    } else {
        (version.reference.as_str(), version.shasum.clone().or_else(|| version.promised_shasum.clone()))
    };
    let url = dist_url(name, &version.pretty, reference, &DistType::Zip.address_ending(""));
    Dist { kind: DistType::Zip, url, reference: version.reference.clone(), shasum }
}

/// Most keywords of a package that search looks at.
const MAX_KEYWORDS: usize = 50;
/// Longest addresses that search results lead to.
const MAX_HOMEPAGE_BYTES: usize = 500;

/// What lists show of a package for which the entry `latest` speaks.
fn summarize(latest: Option<&Map>, index: &[IndexedVersion]) -> Summary {
    let text = |entry: &Map, key: &str| entry.get(key).and_then(Value::as_str).map(str::to_owned);
    let abandoned = latest.and_then(|entry| match entry.get("abandoned") {
        Some(Value::Bool(true)) => Some("true".to_owned()),
        Some(Value::String(replacement)) => Some(replacement.clone()),
        _ => None,
    });
    let keywords = latest.and_then(|entry| entry.get("keywords")).and_then(Value::as_array).into_iter().flatten();
    let keywords: Vec<&str> = keywords.filter_map(Value::as_str).take(MAX_KEYWORDS).collect();
    let is_page = |address: &String| {
        address.len() <= MAX_HOMEPAGE_BYTES && (address.starts_with("https://") || address.starts_with("http://"))
    };
    Summary {
        keywords: (!keywords.is_empty()).then(|| keywords.join(" ")),
        homepage: latest.and_then(|entry| text(entry, "homepage")).filter(is_page),
        description: latest.and_then(|entry| text(entry, "description")),
        package_type: latest.and_then(|entry| text(entry, "type")).unwrap_or_else(|| "library".to_owned()),
        abandoned,
        latest_version: latest.and_then(|entry| text(entry, "version")),
        version_index: (!index.is_empty()).then(|| json!(index).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::access::released::Released;

    fn version(pretty: &str, normalized: &str, manifest: &str) -> LiveVersion {
        LiveVersion {
            package_name: "acme/lib".to_owned(),
            revision: 1,
            normalized: normalized.to_owned(),
            pretty: pretty.into(),
            source: VersionSource::Ref(format!("refs/tags/{pretty}")),
            reference: "a".repeat(40).into(),
            is_default_branch: false,
            manifest: manifest.into(),
            released: Released::at(Millis(1_700_000_000_000)),
            released_when_shown: false,
            was_shown: true,
            made_at: Millis(1_600_000_000_000),
            published_at: Millis(1_800_000_000_000),
            shasum: None,
            promised_shasum: None,
            dist_error: None,
            yanked: false,
            hidden: false,
        }
    }

    fn source() -> PackageSource {
        PackageSource { url: "https://git.example/lib".to_owned(), ..PackageSource::default() }
    }

    fn name() -> PackageName {
        PackageName::parse("acme/lib").expect("a name")
    }

    #[test]
    fn a_documents_urls_get_the_origin_that_was_asked() {
        let versions = [version("1.0.0", "1.0.0.0", r#"{"name":"acme/lib"}"#)];
        let rendered = render(&name(), &source(), None, &versions).expect("renders");
        let text = absolute(&rendered.stable, "https://registry.example");
        let url = format!("\"url\":\"https://registry.example/dist/acme/lib/1.0.0/{}.zip\"", "a".repeat(40));
        assert!(text.contains(&url), "{text}");
        assert!(!text.contains("rostrum:"));
    }

    #[test]
    fn developers_are_shown_the_address_that_the_repository_says() {
        let version = version("1.0.0", "1.0.0.0", r#"{"name":"acme/lib"}"#);
        let shown = |protocol| {
            let source = PackageSource { protocol, ..source() };
            entry(&name(), &source, &version).expect("renders")["source"]["url"].clone()
        };
        assert_eq!(shown(SourceProtocol::Https), "https://git.example/lib");
        assert_eq!(shown(SourceProtocol::Ssh), "git@git.example:lib");
    }

    #[test]
    fn what_is_filled_in_is_handed_to_developers_as_if_it_had_been_stated() {
        let source = PackageSource {
            provider: "github".to_owned(),
            funding: Some(
                r#"{"file":"c0ffee","entries":[{"type":"github","url":"https://github.com/ada"}]}"#.to_owned(),
            ),
            ..source()
        };
        let shown = |manifest: &str| {
            let versions = [version("v1.0.0", "1.0.0.0", manifest)];
            let text = render(&name(), &source, None, &versions).expect("renders").stable;
            let document: Value = serde_json::from_str(&absolute(&text, "https://registry.example")).expect("JSON");
            document["packages"]["acme/lib"][0].clone()
        };
        let filled_in = shown(r#"{"name":"acme/lib"}"#);
        let home = "https://git.example/lib";
        let support = json!({"source": format!("{home}/tree/v1.0.0"), "issues": format!("{home}/issues")});
        assert_eq!(filled_in["support"], support);
        assert_eq!(filled_in["funding"], json!([{"type": "github", "url": "https://github.com/ada"}]));
        let stated = shown(
            r#"{"name":"acme/lib","support":{"issues":"https://acme.test","email":"a@acme.test"},
                "funding":[{"type":"custom","url":"https://acme.test/pay"}]}"#,
        );
        let support = json!({
            "issues": "https://acme.test", "email": "a@acme.test", "source": format!("{home}/tree/v1.0.0"),
        });
        assert_eq!(stated["support"], support);
        assert_eq!(stated["funding"], json!([{"type": "custom", "url": "https://acme.test/pay"}]));
    }

    #[test]
    fn a_description_cannot_forge_the_origin_marker() {
        let versions = [version("1.0.0", "1.0.0.0", r#"{"name":"acme/lib","description":"say \"rostrum:/x\""}"#)];
        let rendered = render(&name(), &source(), None, &versions).expect("renders");
        let text = absolute(&rendered.stable, "https://registry.example");
        assert!(text.contains(r#"say \"rostrum:/x\""#), "{text}");
    }

    #[test]
    fn a_branch_with_slashes_and_signs_stays_one_path_segment() {
        assert_eq!(
            dist_url(&name(), "dev-feature/ä%#b+c", "abc", ".zip"),
            "rostrum:/dist/acme/lib/dev-feature%2F%C3%A4%25%23b+c/abc.zip"
        );
    }

    #[test]
    fn a_version_that_there_will_never_be_a_zip_of_has_no_dist() {
        let refused = LiveVersion {
            dist_error: Some("too large".to_owned()),
            ..version("1.0.0", "1.0.0.0", r#"{"name":"acme/lib"}"#)
        };
        let entry = entry(&name(), &source(), &refused).expect("renders");
        assert!(!entry.contains_key("dist") && entry.contains_key("source"));
    }

    #[test]
    fn the_newest_stable_version_speaks_for_the_package() {
        let versions = [
            version("2.0.0-beta1", "2.0.0.0-beta1", r#"{"name":"acme/lib","description":"beta"}"#),
            version("1.0.0", "1.0.0.0", r#"{"name":"acme/lib","description":"old","type":"project"}"#),
            version("1.1.0", "1.1.0.0", r#"{"name":"acme/lib","description":"new","abandoned":"acme/next"}"#),
        ];
        let summary = render(&name(), &source(), None, &versions).expect("renders").summary;
        assert_eq!(summary.description.as_deref(), Some("new"));
        assert_eq!(summary.latest_version.as_deref(), Some("1.1.0"));
        assert_eq!(summary.package_type, "library");
        assert_eq!(summary.abandoned.as_deref(), Some("acme/next"));
        assert!(summary.version_index.expect("listed versions").contains(r#"["1.1.0.0",1700000000000,"1.1.0"]"#));
    }

    #[test]
    fn an_entry_says_when_its_files_were_made_and_when_it_was_published_here() {
        for (stated, expected) in [
            ("", "2020-09-13T12:26:40Z"),
            (r#","time":"2019-05-04 10:00:00""#, "2019-05-04T10:00:00Z"),
            (r#","time":"2019-05-04T12:00:00+02:00""#, "2019-05-04T10:00:00Z"),
            (r#","time":"1556964000""#, "2019-05-04T10:00:00Z"),
            (r#","time":"yesterday""#, "2020-09-13T12:26:40Z"),
            (r#","time":"""#, "2020-09-13T12:26:40Z"),
            (r#","published-time":"2015-01-01T00:00:00+00:00""#, "2020-09-13T12:26:40Z"),
        ] {
            let version = version("1.0.0", "1.0.0.0", &format!(r#"{{"name":"acme/lib"{stated}}}"#));
            let entry = entry(&name(), &source(), &version).expect("renders");
            let text = |key: &str| entry.get(key).and_then(Value::as_str).map(str::to_owned);
            assert_eq!(text("time").as_deref(), Some(expected), "{stated}");
            assert_eq!(text("published-time").as_deref(), Some("2027-01-15T08:00:00Z"), "{stated}");
        }
    }
}

//! What the API document says of the answers to composer. They are not put together from these: composer's documents are
//! rendered once and kept as text.
#![expect(dead_code, reason = "only describes answers")]

use std::collections::BTreeMap;

use utoipa::ToSchema;

/// The root document.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case", example = json!({
    "packages": {},
    "metadata-url": "https://registry.example/p2/%package%.json",
    "available-package-patterns": ["acme/*"]
}))]
pub struct PackagesJson {
    /// Always empty: versions stand in the documents of the packages.
    #[schema(value_type = Object)]
    packages: (),
    /// Where a package's metadata is: `%package%` stands for its name.
    metadata_url: String,
    /// Where composer reports what it has installed.
    notify_batch: String,
    /// Where to search.
    search: String,
    /// Where the names of all packages are.
    list: String,
    /// Where it is told who provides a package.
    providers_api: String,
    /// The names of the visible packages, where there are no patterns.
    #[schema(required = false)]
    available_packages: Vec<String>,
    /// Patterns of the names that may be asked for: claimed vendors, what upstreams have, and names of packages that these
    /// leave out. Without both, any name may be asked for.
    #[schema(required = false)]
    available_package_patterns: Vec<String>,
    /// Where security advisories are.
    security_advisories: AdvisoryAddresses,
    /// Where filter lists are.
    filter: FilterAddresses,
}

/// Where security advisories are.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
pub struct AdvisoryAddresses {
    /// Whether the packages' metadata holds them.
    metadata: bool,
    /// Where they are in full.
    api_url: String,
}

/// Where filter lists are.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
pub struct FilterAddresses {
    /// Whether the packages' metadata holds their entries.
    metadata: bool,
    /// The lists.
    lists: BTreeMap<String, FilterList>,
    /// Where entries of many packages are.
    api_url: String,
    /// Where all of them are in brief.
    summary_url: String,
}

/// A filter list.
#[derive(ToSchema)]
pub struct FilterList {
    /// Whether composer heeds it without being told to.
    enabled: bool,
}

/// All packages of an organization; for composer it is a `PackagesJson`.
#[derive(ToSchema)]
#[schema(example = json!({"packages": {"acme/lib": {"1.0.0": {
    "name": "acme/lib",
    "version": "1.0.0",
    "dist": {"type": "zip", "url": "https://registry.example/org/acme/packages/acme/lib/1.0.0.zip"}
}}}}))]
pub struct InlinePackages {
    /// Name → version → the version's metadata.
    #[schema(value_type = Object)]
    packages: (),
}

/// The metadata of a package's visible versions.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case", example = json!({"packages": {"acme/lib": {"1.0.0": {
    "name": "acme/lib",
    "version": "1.0.0",
    "dist": {"type": "zip", "url": "https://registry.example/dist/acme/lib/1.0.0/0123456789abcdef0123456789abcdef01234567.zip"}
}}}}))]
pub struct PackageMetadata {
    /// Name → versions: for composer a list, newest first, which it expands; for others an object by version.
    #[schema(value_type = Object)]
    packages: (),
    /// `composer/2.0` where the versions are a list of differences.
    #[schema(required = false)]
    minified: String,
    /// The advisories that concern one of the versions.
    #[schema(required = false)]
    security_advisories: Vec<BriefAdvisory>,
    /// The filter lists' entries that concern one of the versions, by list.
    #[schema(required = false)]
    filter: BTreeMap<String, Vec<FilterMatch>>,
}

/// A security advisory in brief.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct BriefAdvisory {
    /// What people call it.
    advisory_id: String,
    /// Composer constraint.
    affected_versions: String,
}

/// An entry of a filter list.
#[derive(ToSchema)]
pub struct FilterMatch {
    /// The package, where it does not follow from the place.
    #[schema(required = false)]
    package: String,
    /// The versions that it concerns.
    constraint: String,
    /// Why it stands there.
    #[schema(required = false)]
    reason: String,
    /// Where to read more.
    #[schema(required = false)]
    url: String,
    /// Its id.
    id: String,
    /// Who says so.
    #[schema(required = false)]
    source: String,
}

/// Names of packages.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase", example = json!({"packageNames": ["acme/lib"]}))]
pub struct PackageNames {
    /// Sorted.
    package_names: Vec<String>,
}

/// What was found.
#[derive(ToSchema)]
pub struct SearchResults {
    /// At most 100.
    results: Vec<SearchResult>,
    /// How many there are in all.
    total: i64,
}

/// A package that was found.
#[derive(ToSchema)]
pub struct SearchResult {
    name: String,
    description: String,
    /// Its page in a browser: its homepage, else that of its repository; absent where there is none or it may not be shown.
    #[schema(required = false)]
    url: String,
    /// Its git repository, for those who are shown `source`; else empty.
    repository: String,
    /// Installs that composer reported; absent for customers.
    #[schema(required = false)]
    downloads: i64,
    /// Always 0; absent for customers.
    #[schema(required = false)]
    favers: i64,
    /// `true`, or the name of its replacement; absent unless it is abandoned.
    #[schema(required = false, value_type = Value)]
    abandoned: (),
}

/// Who provides a package.
#[derive(ToSchema)]
pub struct Providers {
    /// By name.
    providers: Vec<Provider>,
}

/// A package that provides another one.
#[derive(ToSchema)]
pub struct Provider {
    name: String,
    description: String,
    /// Composer's package type.
    r#type: String,
}

/// Security advisories by package.
#[derive(ToSchema)]
pub struct AdvisoriesByPackage {
    /// Package → advisories.
    advisories: BTreeMap<String, Vec<FullAdvisory>>,
}

/// A security advisory.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct FullAdvisory {
    /// What people call it.
    advisory_id: String,
    package_name: String,
    /// Composer constraint.
    affected_versions: String,
    title: String,
    cve: Option<String>,
    link: Option<String>,
    /// `low`, `medium`, `high` or `critical`.
    severity: Option<String>,
    sources: Vec<AdvisorySource>,
    /// In UTC: `2026-01-31 12:00:00`.
    reported_at: String,
}

/// Where else an advisory is known.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct AdvisorySource {
    name: String,
    /// What it is called there.
    remote_id: String,
}

/// Entries of filter lists.
#[derive(ToSchema)]
pub struct FilterAnswer {
    /// List → entries.
    filter: BTreeMap<String, Vec<FilterMatch>>,
}

/// Every filter list in brief.
#[derive(ToSchema)]
#[schema(example = json!({"filter": {"malware": {"acme/lib": "1.4.1"}}}))]
pub struct FilterSummary {
    /// List → package → constraint.
    filter: BTreeMap<String, BTreeMap<String, String>>,
}

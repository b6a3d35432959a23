//! Registering the packages of a monorepo, which are repositories with one address.

use serde_json::json;

use crate::ports::Stmt;
use crate::store::sources::repositories::NewRepository;
use crate::store::{OrganizationId, json_arguments};

/// The statements that register repositories, as far as their URL and path are free.
pub fn insert_all(organization: OrganizationId, repositories: &[NewRepository<'_>]) -> Vec<Stmt> {
    let row = |new: &NewRepository<'_>| {
        json!([
            new.uid,
            new.kind.as_str(),
            new.provider,
            new.url,
            new.path,
            new.tag_prefix,
            new.tag_filter,
            new.branch_filter,
            new.source_protocol.as_str(),
            new.credential_type,
            new.credentials,
            new.created_at.0,
            new.lfs,
            new.host_credentials.sealed,
            new.host_credentials.hosts,
            new.package_filter
        ])
    };
    let statement = |rows: String| {
        Stmt::new(
            "INSERT INTO repositories (uid, kind, provider, url, path, tag_prefix, tag_filter, branch_filter,
                    source_protocol, credential_type, credentials, created_at, lfs, host_credentials, credential_hosts,
                    package_filter, organization_id)
             SELECT j.value ->> 0, j.value ->> 1, j.value ->> 2, j.value ->> 3, j.value ->> 4, j.value ->> 5,
                    j.value ->> 6, j.value ->> 7, j.value ->> 8, j.value ->> 9, j.value ->> 10, j.value ->> 11, j.value ->> 12,
                    j.value ->> 13, j.value ->> 14, j.value ->> 15, ?1
               FROM json_each(?2) j WHERE true
             ON CONFLICT (organization_id, url, path) DO NOTHING",
            [organization.into(), rows.into()],
        )
    };
    json_arguments(repositories.iter().map(row)).into_iter().map(statement).collect()
}

//! Who has issued links, and what they are now: a link can do no more than its issuer still may.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::ports::{Argument, Millis};
use crate::store::access::grants::GrantRow;
use crate::store::{OrganizationId, optional_json_text};

/// Who issues a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewLinkIssuer {
    /// The user with this primary key.
    User(i64),
    /// The token with this primary key.
    Token(i64),
    /// The holder of the `ADMIN_TOKEN` with this digest.
    Admin(String),
}

impl NewLinkIssuer {
    /// What is stored of it: the user, the token, and the digest.
    pub fn columns(&self) -> [Argument; 3] {
        match self {
            Self::User(id) => [(*id).into(), Argument::Null, Argument::Null],
            Self::Token(id) => [Argument::Null, (*id).into(), Argument::Null],
            Self::Admin(key) => [Argument::Null, Argument::Null, key.into()],
        }
    }
}

/// What a token that has issued a link holds now.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct IssuingToken {
    /// Scope names.
    pub scopes: Vec<String>,
    /// When it ends.
    pub expires_at: Option<Millis>,
    /// What it may see.
    pub grants: Vec<GrantRow>,
    /// Counts its changes.
    pub revision: i64,
}

/// Who has issued a link, as they are now in the organization of the link.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct LinkIssuer {
    /// Primary key, when it is a user.
    pub user_id: Option<i64>,
    /// The user's role; `None` when the user is blocked or not in the organization any more.
    pub user_role: Option<String>,
    /// Primary key, when it is a token.
    pub token_id: Option<i64>,
    /// What the token holds; `None` when it was revoked.
    #[serde(deserialize_with = "optional_json_text")]
    pub token: Option<IssuingToken>,
    /// Which `ADMIN_TOKEN`; `None` when it is none, or not known.
    pub admin_key: Option<String>,
}

impl LinkIssuer {
    /// All that makes them what they are in the organization of the link, for [`is_unchanged`].
    pub fn state(&self, organization: OrganizationId) -> String {
        json!({
            "organization": organization,
            "user": self.user_id,
            "role": self.user_role,
            "token": self.token_id,
            "revision": self.token.as_ref().map(|token| token.revision),
        })
        .to_string()
    }

    /// Those of their links that make users with `role`, for [`is_void`].
    pub fn links(&self, role: &str) -> Value {
        json!({ "user": self.user_id, "token": self.token_id, "admin": self.admin_key, "role": role })
    }
}

/// Before a query that yields `organization_id`, `user_id`, `token_id` and `admin_key`, which `) l` ends: what that issuer is
/// now.
macro_rules! with_issuer {
    () => {
        "SELECT l.*,
                (SELECT m.role FROM memberships m JOIN users i ON i.id = m.user_id
                  WHERE m.user_id = l.user_id AND m.organization_id = l.organization_id
                    AND i.blocked_at IS NULL) AS user_role,
                (SELECT json_object('scopes', json(t.scopes), 'expires_at', t.expires_at, 'revision', t.revision,
                        'grants', json((SELECT json_group_array(json_object('target', g.target,
                                               'version_constraint', g.version_constraint,
                                               'updates_until', g.updates_until,
                                               'minimum_stability', g.minimum_stability, 'expires_at', g.expires_at))
                                          FROM grants g WHERE g.token_id = t.id)))
                   FROM tokens t
                  WHERE t.id = l.token_id AND t.organization_id = l.organization_id AND t.revoked_at IS NULL) AS token
           FROM ("
    };
}
pub(crate) use with_issuer;

/// Whether an issuer still is what its state (`?6`) says.
macro_rules! is_unchanged {
    () => {
        " (?6 ->> 'user' IS NULL OR EXISTS
            (SELECT 1 FROM memberships n JOIN users i ON i.id = n.user_id
              WHERE n.user_id = ?6 ->> 'user' AND n.organization_id = ?6 ->> 'organization' AND n.role = ?6 ->> 'role'
                AND i.blocked_at IS NULL))
          AND (?6 ->> 'token' IS NULL OR EXISTS
            (SELECT 1 FROM tokens t
              WHERE t.id = ?6 ->> 'token' AND t.revision = ?6 ->> 'revision' AND t.revoked_at IS NULL))"
    };
}
pub(crate) use is_unchanged;

/// Whether an invitation is one of a list of links (`?3`) that their issuers cannot issue any more.
macro_rules! is_void {
    () => {
        " EXISTS (SELECT 1 FROM json_each(?3) v
                   WHERE v.value ->> 'user' IS invited_by AND v.value ->> 'token' IS token_id
                     AND v.value ->> 'admin' IS admin_key AND v.value ->> 'role' = invitations.role)"
    };
}
pub(crate) use is_void;

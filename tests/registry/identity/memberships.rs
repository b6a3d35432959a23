//! Users in two organizations: each has them with a role of its own, and they have one account for both.

use std::sync::Arc;

use rostrum::ports::{Database, DatabaseError};
use rostrum::registry::access::account::Account;
use rostrum::registry::access::actor::Actor;
use rostrum::registry::access::caller::Caller;
use rostrum::registry::access::issuer::Issuer;
use rostrum::registry::access::role::Role;
use rostrum::registry::access::view::View;
use rostrum::registry::identity::users::{self, UserSpec, UserUpdate, links};
use rostrum::registry::kernel::failure::{Failure, Kind};
use rostrum::store::access::rate_limits::RateLimits;
use rostrum::store::access::users::insert_membership;
use rostrum::store::{OrganizationId, Page};
use serde_json::{Value, json};

use crate::support::{ADMIN, PASSWORD, START, TestRegistry, TestUser};

const ROOT: OrganizationId = OrganizationId::ROOT;

/// The organization beside the root one, as a row has it.
fn second_organization() -> OrganizationId {
    serde_json::from_value(json!(2)).expect("a primary key")
}

/// A deployment with both organizations, each with an owner of its own: `owner` and `second`.
async fn registry() -> TestRegistry {
    let registry = TestRegistry::new();
    registry.database.execute(
        "INSERT INTO organizations (id, uid, slug, name, created_at) VALUES (2, 'second', 'second', 'Second', 0)",
    );
    registry.owner().await;
    assert!(users::needs_owner(&registry.isolate.app, second_organization()).await.expect("an answer"));
    let spec = |name: &str| UserSpec {
        email: format!("{name}@example.org"),
        name: name.to_owned(),
        password: PASSWORD.to_owned(),
    };
    let by = administrator(second_organization()).by;
    users::set_up(&registry.isolate.app, &by, &spec("second")).await.expect("the first owner");
    assert!(!users::needs_owner(&registry.isolate.app, second_organization()).await.expect("an answer"));
    let again = users::set_up(&registry.isolate.app, &by, &spec("third")).await;
    assert_eq!(again.expect_err("there is one").kind, Kind::Conflict);
    registry
}

/// The holder of `ADMIN_TOKEN`, who acts in an organization.
fn administrator(organization: OrganizationId) -> Issuer {
    let by = Actor::without_view(organization, "admin".to_owned(), None);
    Issuer { by, caller: Arc::new(Caller::admin().expect("a caller")) }
}

/// A user, who acts in the first of their organizations.
async fn signed_in(registry: &TestRegistry, person: &TestUser) -> Issuer {
    let user = users::get(&registry.isolate.app, &View::of_nothing(ROOT), &person.id).await.expect("a user");
    let account = Account { user, session_id: 1, session_uid: String::new(), rate_limits: RateLimits::default() };
    let by = Actor::without_view(ROOT, format!("user:{}", person.id), None);
    Issuer { by, caller: Arc::new(Caller::of_account(account, None).expect("a caller")) }
}

/// A user of the root organization with one role, and of the second one with the other.
async fn member_of_both(registry: &TestRegistry, name: &str, role: &str, role_in_second: &str) -> TestUser {
    let person = registry.user(name, role).await;
    let membership = insert_membership(second_organization(), &person.id, role_in_second, START);
    let database: &dyn Database = &*registry.database;
    database.ask(membership).await.expect("a membership");
    person
}

/// The owner whom the second organization has from the beginning, logged in.
async fn owner_of_second(registry: &TestRegistry) -> TestUser {
    let rows = registry.database.rows("SELECT uid, email FROM users WHERE email = 'second@example.org'");
    let text = |column: &str| rows[0][column].as_str().expect("text").to_owned();
    TestUser { id: text("uid"), token: registry.session(&text("email")).await, email: text("email") }
}

/// The organizations that a user is in, and the role in each.
fn memberships(registry: &TestRegistry, person: &TestUser) -> Value {
    let sql = format!(
        "SELECT json_array(m.organization_id, m.role) AS membership FROM memberships m
           JOIN users u ON u.id = m.user_id WHERE u.uid = '{}' ORDER BY m.organization_id",
        person.id
    );
    let read = |row: &Value| serde_json::from_str::<Value>(row["membership"].as_str().expect("text")).expect("JSON");
    registry.database.rows(&sql).iter().map(read).collect()
}

/// E-mail address and role of everybody in an organization, the newest first.
async fn listed(registry: &TestRegistry, organization: OrganizationId) -> Vec<(String, String)> {
    let all = Page { limit: 100, offset: 0 };
    let (rows, total) =
        users::list(&registry.isolate.app, &View::of_nothing(organization), None, all).await.expect("a list");
    assert_eq!(usize::try_from(total).ok(), Some(rows.len()));
    assert!(rows.iter().all(|row| row.organization == organization));
    rows.into_iter().map(|row| (row.email, row.role)).collect()
}

async fn change(
    registry: &TestRegistry,
    organization: OrganizationId,
    person: &TestUser,
    update: UserUpdate,
) -> Result<String, Failure> {
    let changed = users::change(&registry.isolate.app, &administrator(organization), &person.id, update).await;
    changed.map(|row| row.role)
}

fn to_role(role: Role) -> UserUpdate {
    UserUpdate { role: Some(role), ..UserUpdate::default() }
}

fn to_blocked() -> UserUpdate {
    UserUpdate { is_blocked: Some(true), ..UserUpdate::default() }
}

async fn remove(registry: &TestRegistry, organization: OrganizationId, person: &TestUser) -> Result<(), Failure> {
    users::remove(&registry.isolate.app, &administrator(organization), &person.id).await
}

/// What the audit logs of both organizations have of these actions, the oldest first.
fn audited(registry: &TestRegistry, action: &str) -> Vec<Value> {
    let sql = format!("SELECT organization_id AS o, target FROM audit_log WHERE action = '{action}' ORDER BY id");
    registry.database.rows(&sql)
}

async fn status_of(registry: &TestRegistry, token: &str) -> u16 {
    registry.another_isolate().get("/api/auth/me").bearer(token).send().await.status
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Failure>, kind: &Kind) {
    assert_eq!(&result.expect_err("refused").kind, kind);
}

#[tokio::test]
async fn both_list_a_user_with_the_role_that_each_has_given() {
    let registry = registry().await;
    let person = member_of_both(&registry, "both", "viewer", "admin").await;
    let entry = |name: &str, role: &str| (format!("{name}@example.org"), role.to_owned());
    assert_eq!(listed(&registry, ROOT).await, [entry("both", "viewer"), entry("owner", "owner")]);
    assert_eq!(listed(&registry, second_organization()).await, [entry("both", "admin"), entry("second", "owner")]);
    for (organization, role) in [(ROOT, "viewer"), (second_organization(), "admin")] {
        let row = users::get(&registry.isolate.app, &View::of_nothing(organization), &person.id).await.expect("a user");
        assert_eq!((row.organization, row.role.as_str()), (organization, role));
    }
    // Signing in, the role is that of the first.
    let me = registry.get("/api/auth/me").bearer(&person.token).send().await.expect(200).json();
    assert_eq!(me["role"], "viewer");
    let login = registry.log_in(&person.email, PASSWORD, json!({})).await.expect(200).json();
    assert_eq!(login["user"]["role"], "viewer");
}

#[tokio::test]
async fn another_role_in_one_leaves_the_other_and_ends_all_sessions() {
    let registry = registry().await;
    let person = member_of_both(&registry, "both", "member", "viewer").await;
    assert_eq!(
        change(&registry, second_organization(), &person, to_role(Role::Viewer)).await.expect("no change"),
        "viewer"
    );
    assert_eq!(status_of(&registry, &person.token).await, 200);
    assert_eq!(
        change(&registry, second_organization(), &person, to_role(Role::Admin)).await.expect("changed"),
        "admin"
    );
    assert_eq!(memberships(&registry, &person), json!([[ROOT, "member"], [second_organization(), "admin"]]));
    assert_eq!(status_of(&registry, &person.token).await, 401);
    let noted = audited(&registry, "user.changed");
    assert_eq!(
        noted,
        [
            json!({"o": second_organization(), "target": person.id}),
            json!({"o": second_organization(), "target": person.id})
        ]
    );
}

#[tokio::test]
async fn removal_from_one_leaves_the_other_and_ends_all_sessions() {
    let registry = registry().await;
    let person = member_of_both(&registry, "both", "member", "viewer").await;
    let (_, codes) = registry.second_factor(&person).await;
    remove(&registry, ROOT, &person).await.expect("removed");
    assert_eq!(memberships(&registry, &person), json!([[second_organization(), "viewer"]]));
    assert_eq!(status_of(&registry, &person.token).await, 401);
    refused(users::get(&registry.isolate.app, &View::of_nothing(ROOT), &person.id).await, &Kind::NotFound);
    refused(remove(&registry, ROOT, &person).await, &Kind::NotFound);
    // The account is the same, and its role is that of the organization that is left.
    let more = json!({"recovery_code": codes[0]});
    let login = registry.log_in(&person.email, PASSWORD, more).await.expect(200).json();
    assert_eq!((&login["user"]["id"], &login["user"]["role"]), (&json!(person.id), &json!("viewer")));

    remove(&registry, second_organization(), &person).await.expect("removed");
    registry.log_in(&person.email, PASSWORD, json!({})).await.expect(401);
    for table in ["users WHERE email = 'both@example.org'", "sessions WHERE user_id = 3", "recovery_codes"] {
        assert_eq!(registry.database.rows(&format!("SELECT * FROM {table}")), Vec::<Value>::new(), "{table}");
    }
    let noted = audited(&registry, "user.removed");
    assert_eq!(
        noted,
        [json!({"o": ROOT, "target": person.id}), json!({"o": second_organization(), "target": person.id})]
    );
}

#[tokio::test]
async fn the_last_owner_of_each_stays() {
    let registry = registry().await;
    let person = member_of_both(&registry, "both", "owner", "owner").await;
    let second = owner_of_second(&registry).await;
    remove(&registry, second_organization(), &second).await.expect("there is another owner");

    // Now the second organization has no other owner; the root one has.
    refused(change(&registry, second_organization(), &person, to_role(Role::Admin)).await, &Kind::Conflict);
    refused(remove(&registry, second_organization(), &person).await, &Kind::Conflict);
    for organization_id in [ROOT, second_organization()] {
        refused(change(&registry, organization_id, &person, to_blocked()).await, &Kind::Conflict);
    }
    assert_eq!(memberships(&registry, &person), json!([[ROOT, "owner"], [second_organization(), "owner"]]));
    assert_eq!(status_of(&registry, &person.token).await, 200, "what was refused has ended no session");
    change(&registry, ROOT, &person, to_role(Role::Viewer)).await.expect("the root one has another");
    remove(&registry, ROOT, &person).await.expect("the root one has another");
    assert_eq!(memberships(&registry, &person), json!([[second_organization(), "owner"]]));
}

#[tokio::test]
async fn an_owner_in_one_is_no_owner_in_the_other() {
    let registry = registry().await;
    let person = member_of_both(&registry, "both", "owner", "member").await;
    let second = owner_of_second(&registry).await;
    refused(remove(&registry, second_organization(), &second).await, &Kind::Conflict);
    refused(change(&registry, second_organization(), &second, to_blocked()).await, &Kind::Conflict);
    change(&registry, second_organization(), &person, to_role(Role::Owner)).await.expect("changed");
    change(&registry, second_organization(), &second, to_blocked()).await.expect("there is another owner");
    refused(remove(&registry, second_organization(), &person).await, &Kind::Conflict);
}

#[tokio::test]
async fn nobody_is_touched_through_an_organization_that_they_are_not_in() {
    let registry = registry().await;
    let person = registry.user("root-only", "member").await;
    let state = || {
        ["users", "memberships", "sessions", "password_resets", "audit_log"]
            .map(|table| json!(registry.database.rows(&format!("SELECT * FROM {table}"))))
    };
    links::issue_reset(&registry.isolate.app, &administrator(ROOT), &person.id).await.expect("a link");
    let before = state();
    refused(
        users::get(&registry.isolate.app, &View::of_nothing(second_organization()), &person.id).await,
        &Kind::NotFound,
    );
    refused(change(&registry, second_organization(), &person, to_role(Role::Owner)).await, &Kind::NotFound);
    refused(change(&registry, second_organization(), &person, to_blocked()).await, &Kind::NotFound);
    refused(remove(&registry, second_organization(), &person).await, &Kind::NotFound);
    let link = links::issue_reset(&registry.isolate.app, &administrator(second_organization()), &person.id).await;
    refused(link.map(drop), &Kind::NotFound);
    assert_eq!(state(), before);
}

#[tokio::test]
async fn a_user_of_no_organization_cannot_sign_in() {
    let registry = TestRegistry::new();
    let person = registry.user("alone", "member").await;
    let (secret, _) = registry.second_factor(&person).await;
    let path = format!("/api/users/{}/reset-link", person.id);
    let link = crate::support::token_of(&registry.post(&path).bearer(ADMIN).send().await.expect(201));
    registry.database.execute("DELETE FROM memberships");
    assert_eq!(status_of(&registry, &person.token).await, 401);
    registry.get("/packages.json").basic(&person.token).composer().send().await.expect(401);
    let known =
        registry.log_in(&person.email, PASSWORD, json!({"totp_code": registry.code(&secret, 0)})).await.expect(401);
    let unknown = registry.log_in("nobody@example.org", PASSWORD, json!({})).await.expect(401);
    assert_eq!(known.json(), unknown.json());
    let body = json!({"token": link, "password": "another horse battery"});
    registry.post("/api/auth/reset").json(&body).send().await.expect(404);
    assert_eq!(listed(&registry, ROOT).await, []);
}

#[tokio::test]
async fn a_link_is_worth_what_its_issuer_may_in_its_organization() {
    let registry = registry().await;
    let issuer = member_of_both(&registry, "issuer", "admin", "owner").await;
    let person = registry.user("person", "member").await;
    let by = signed_in(&registry, &issuer).await;
    let app = &registry.isolate.app;
    let (invitation, _) = links::invite(app, &by, "invited@example.org", Role::Viewer).await.expect("an invitation");
    let link = links::issue_reset(app, &by, &person.id).await.expect("a link");
    remove(&registry, ROOT, &issuer).await.expect("removed");

    // The issuer still has an account, and is an owner elsewhere.
    let body = json!({"token": invitation.plain.expose(), "name": "Invited", "password": PASSWORD});
    registry.post("/api/auth/accept-invitation").json(&body).send().await.expect(404);
    let body = json!({"token": link.plain.expose(), "password": "another horse battery"});
    registry.post("/api/auth/reset").json(&body).send().await.expect(404);
}

#[tokio::test]
async fn what_opens_an_account_of_several_organizations_is_no_business_of_those_who_manage_one() {
    let registry = registry().await;
    let admin = registry.user("admin", "admin").await;
    let person = member_of_both(&registry, "both", "viewer", "owner").await;
    let by = signed_in(&registry, &admin).await;
    let app = &registry.isolate.app;
    let second_factor = UserUpdate { without_second_factor: true, ..UserUpdate::default() };
    let email = UserUpdate { email: Some("mine@example.org".to_owned()), ..UserUpdate::default() };
    for update in [to_blocked(), second_factor, email] {
        refused(users::change(app, &by, &person.id, update.clone()).await, &Kind::Forbidden);
        assert_eq!(audited(&registry, "user.changed"), Vec::<Value>::new());
    }
    refused(links::issue_reset(app, &by, &person.id).await.map(drop), &Kind::Forbidden);
    // The membership is.
    users::change(app, &by, &person.id, to_role(Role::Member)).await.expect("changed");
    users::remove(app, &by, &person.id).await.expect("removed");
    assert_eq!(memberships(&registry, &person), json!([[second_organization(), "owner"]]));
    // And the holder of ADMIN_TOKEN holds everything.
    let other = member_of_both(&registry, "other", "viewer", "owner").await;
    change(&registry, ROOT, &other, to_blocked()).await.expect("changed");
}

#[tokio::test]
async fn no_look_up_reads_a_whole_table() {
    let registry = TestRegistry::new();
    for stmt in [
        rostrum::store::access::users::credentials_by_email("a@example.org").stmt().clone(),
        rostrum::store::access::users::credentials(1).stmt().clone(),
        rostrum::store::access::users::by_uid(ROOT, "uid").stmt().clone(),
        rostrum::store::access::sessions::look_up("hash", START, START, None).stmt().clone(),
        rostrum::store::access::sessions::touch_last_seen(1, START, START),
    ] {
        let plan = registry.database.plan(&stmt);
        assert!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{}\n{plan}", stmt.sql);
    }
}

#[tokio::test]
async fn nobody_is_in_an_organization_twice() {
    let registry = registry().await;
    let person = member_of_both(&registry, "both", "member", "viewer").await;
    let database: &dyn Database = &*registry.database;
    let again = database.ask(insert_membership(second_organization(), &person.id, "owner", START)).await;
    assert!(matches!(again, Err(DatabaseError::Conflict(_))), "{again:?}");
    assert_eq!(memberships(&registry, &person), json!([[ROOT, "member"], [second_organization(), "viewer"]]));
}

//! Users in two organizations: each has them with a role of its own, and they have one account for both.

use rostrum::ports::DatabaseError;
use rostrum::registry::access::actor::Actor;
use rostrum::registry::access::role::Role;
use rostrum::registry::access::view::View;
use rostrum::registry::identity::users::{self, Manager, UserSpec, UserUpdate, links};
use rostrum::registry::kernel::failure::{Failure, Kind};
use rostrum::store::access::users::insert_membership;
use rostrum::store::{OrganizationId, Page, run};
use serde_json::{Value, json};

use crate::support::{ADMIN, DAWN, PASSWORD, Person, World};

const ROOT: OrganizationId = OrganizationId::ROOT;

/// The organization beside the root one, as a row has it.
fn second_organization() -> OrganizationId {
    serde_json::from_value(json!(2)).expect("a primary key")
}

/// A deployment with both organizations, each with an owner of its own: `owner` and `second`.
async fn world() -> World {
    let world = World::new();
    world.database.execute(
        "INSERT INTO organizations (id, uid, slug, name, created_at) VALUES (2, 'second', 'second', 'Second', 0)",
    );
    world.owner().await;
    assert!(users::needs_owner(&world.isolate.app, second_organization()).await.expect("an answer"));
    let spec = |name: &str| UserSpec {
        email: format!("{name}@example.org"),
        name: name.to_owned(),
        password: PASSWORD.to_owned(),
    };
    let by = manager(second_organization(), None).by;
    users::set_up(&world.isolate.app, &by, &spec("second")).await.expect("the first owner");
    assert!(!users::needs_owner(&world.isolate.app, second_organization()).await.expect("an answer"));
    let again = users::set_up(&world.isolate.app, &by, &spec("third")).await;
    assert_eq!(again.expect_err("there is one").kind, Kind::Conflict);
    world
}

/// Whoever manages an organization's users: one of them, or `ADMIN_TOKEN`.
fn manager(organization: OrganizationId, user_id: Option<i64>) -> Manager {
    let by = Actor::without_view(organization, "admin".to_owned(), None);
    Manager { by, role: Role::Owner, user_id }
}

/// A user of the root organization with one role, and of the second one with the other.
async fn member_of_both(world: &World, name: &str, role: &str, role_in_second: &str) -> Person {
    let person = world.user(name, role).await;
    let membership = insert_membership(second_organization(), &person.id, role_in_second, DAWN);
    run(&*world.database, membership).await.expect("a membership");
    person
}

/// The owner whom the second organization has from the beginning, logged in.
async fn owner_of_second(world: &World) -> Person {
    let rows = world.database.rows("SELECT uid, email FROM users WHERE email = 'second@example.org'");
    let text = |column: &str| rows[0][column].as_str().expect("text").to_owned();
    Person { id: text("uid"), token: world.session(&text("email")).await, email: text("email") }
}

fn primary_key(world: &World, person: &Person) -> i64 {
    let rows = world.database.rows(&format!("SELECT id FROM users WHERE uid = '{}'", person.id));
    rows[0]["id"].as_i64().expect("a number")
}

/// The organizations that a user is in, and the role in each.
fn memberships(world: &World, person: &Person) -> Value {
    let sql = format!(
        "SELECT json_array(m.organization_id, m.role) AS membership FROM memberships m
           JOIN users u ON u.id = m.user_id WHERE u.uid = '{}' ORDER BY m.organization_id",
        person.id
    );
    let read = |row: &Value| serde_json::from_str::<Value>(row["membership"].as_str().expect("text")).expect("JSON");
    world.database.rows(&sql).iter().map(read).collect()
}

/// E-mail address and role of everybody in an organization, the newest first.
async fn listed(world: &World, organization: OrganizationId) -> Vec<(String, String)> {
    let all = Page { limit: 100, offset: 0 };
    let (rows, total) =
        users::list(&world.isolate.app, &View::of_nothing(organization), None, all).await.expect("a list");
    assert_eq!(usize::try_from(total).ok(), Some(rows.len()));
    assert!(rows.iter().all(|row| row.organization == organization));
    rows.into_iter().map(|row| (row.email, row.role)).collect()
}

async fn change(
    world: &World,
    organization: OrganizationId,
    person: &Person,
    update: UserUpdate,
) -> Result<String, Failure> {
    let changed = users::change(&world.isolate.app, &manager(organization, None), &person.id, update).await;
    changed.map(|row| row.role)
}

fn to_role(role: Role) -> UserUpdate {
    UserUpdate { role: Some(role), ..UserUpdate::default() }
}

fn to_blocked() -> UserUpdate {
    UserUpdate { is_blocked: Some(true), ..UserUpdate::default() }
}

async fn remove(world: &World, organization: OrganizationId, person: &Person) -> Result<(), Failure> {
    users::remove(&world.isolate.app, &manager(organization, None), &person.id).await
}

/// What the audit logs of both organizations have of these actions, the oldest first.
fn audited(world: &World, action: &str) -> Vec<Value> {
    let sql = format!("SELECT organization_id AS o, target FROM audit_log WHERE action = '{action}' ORDER BY id");
    world.database.rows(&sql)
}

async fn status_of(world: &World, token: &str) -> u16 {
    world.another_isolate().get("/api/auth/me").bearer(token).send().await.status
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Failure>, kind: &Kind) {
    assert_eq!(&result.expect_err("refused").kind, kind);
}

#[tokio::test]
async fn both_list_a_user_with_the_role_that_each_has_given() {
    let world = world().await;
    let person = member_of_both(&world, "both", "viewer", "admin").await;
    let entry = |name: &str, role: &str| (format!("{name}@example.org"), role.to_owned());
    assert_eq!(listed(&world, ROOT).await, [entry("both", "viewer"), entry("owner", "owner")]);
    assert_eq!(listed(&world, second_organization()).await, [entry("both", "admin"), entry("second", "owner")]);
    for (organization, role) in [(ROOT, "viewer"), (second_organization(), "admin")] {
        let row = users::get(&world.isolate.app, &View::of_nothing(organization), &person.id).await.expect("a user");
        assert_eq!((row.organization, row.role.as_str()), (organization, role));
    }
    // Signing in, the role is that of the first.
    let me = world.get("/api/auth/me").bearer(&person.token).send().await.expect(200).json();
    assert_eq!(me["role"], "viewer");
    let login = world.log_in(&person.email, PASSWORD, json!({})).await.expect(200).json();
    assert_eq!(login["user"]["role"], "viewer");
}

#[tokio::test]
async fn another_role_in_one_leaves_the_other_and_ends_all_sessions() {
    let world = world().await;
    let person = member_of_both(&world, "both", "member", "viewer").await;
    assert_eq!(
        change(&world, second_organization(), &person, to_role(Role::Viewer)).await.expect("no change"),
        "viewer"
    );
    assert_eq!(status_of(&world, &person.token).await, 200);
    assert_eq!(change(&world, second_organization(), &person, to_role(Role::Admin)).await.expect("changed"), "admin");
    assert_eq!(memberships(&world, &person), json!([[ROOT, "member"], [second_organization(), "admin"]]));
    assert_eq!(status_of(&world, &person.token).await, 401);
    let noted = audited(&world, "user.changed");
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
    let world = world().await;
    let person = member_of_both(&world, "both", "member", "viewer").await;
    let (_, codes) = world.second_factor(&person).await;
    remove(&world, ROOT, &person).await.expect("removed");
    assert_eq!(memberships(&world, &person), json!([[second_organization(), "viewer"]]));
    assert_eq!(status_of(&world, &person.token).await, 401);
    refused(users::get(&world.isolate.app, &View::of_nothing(ROOT), &person.id).await, &Kind::NotFound);
    refused(remove(&world, ROOT, &person).await, &Kind::NotFound);
    // The account is the same, and its role is that of the organization that is left.
    let more = json!({"recovery_code": codes[0]});
    let login = world.log_in(&person.email, PASSWORD, more).await.expect(200).json();
    assert_eq!((&login["user"]["id"], &login["user"]["role"]), (&json!(person.id), &json!("viewer")));

    remove(&world, second_organization(), &person).await.expect("removed");
    world.log_in(&person.email, PASSWORD, json!({})).await.expect(401);
    for table in ["users WHERE email = 'both@example.org'", "sessions WHERE user_id = 3", "recovery_codes"] {
        assert_eq!(world.database.rows(&format!("SELECT * FROM {table}")), Vec::<Value>::new(), "{table}");
    }
    let noted = audited(&world, "user.removed");
    assert_eq!(
        noted,
        [json!({"o": ROOT, "target": person.id}), json!({"o": second_organization(), "target": person.id})]
    );
}

#[tokio::test]
async fn the_last_owner_of_each_stays() {
    let world = world().await;
    let person = member_of_both(&world, "both", "owner", "owner").await;
    let second = owner_of_second(&world).await;
    remove(&world, second_organization(), &second).await.expect("there is another owner");

    // Now the second organization has no other owner; the root one has.
    refused(change(&world, second_organization(), &person, to_role(Role::Admin)).await, &Kind::Conflict);
    refused(remove(&world, second_organization(), &person).await, &Kind::Conflict);
    for organization_id in [ROOT, second_organization()] {
        refused(change(&world, organization_id, &person, to_blocked()).await, &Kind::Conflict);
    }
    assert_eq!(memberships(&world, &person), json!([[ROOT, "owner"], [second_organization(), "owner"]]));
    assert_eq!(status_of(&world, &person.token).await, 200, "what was refused has ended no session");
    change(&world, ROOT, &person, to_role(Role::Viewer)).await.expect("the root one has another");
    remove(&world, ROOT, &person).await.expect("the root one has another");
    assert_eq!(memberships(&world, &person), json!([[second_organization(), "owner"]]));
}

#[tokio::test]
async fn an_owner_in_one_is_no_owner_in_the_other() {
    let world = world().await;
    let person = member_of_both(&world, "both", "owner", "member").await;
    let second = owner_of_second(&world).await;
    refused(remove(&world, second_organization(), &second).await, &Kind::Conflict);
    refused(change(&world, second_organization(), &second, to_blocked()).await, &Kind::Conflict);
    change(&world, second_organization(), &person, to_role(Role::Owner)).await.expect("changed");
    change(&world, second_organization(), &second, to_blocked()).await.expect("there is another owner");
    refused(remove(&world, second_organization(), &person).await, &Kind::Conflict);
}

#[tokio::test]
async fn nobody_is_touched_through_an_organization_that_they_are_not_in() {
    let world = world().await;
    let person = world.user("root-only", "member").await;
    let state = || {
        ["users", "memberships", "sessions", "password_resets", "audit_log"]
            .map(|table| json!(world.database.rows(&format!("SELECT * FROM {table}"))))
    };
    links::issue_reset(&world.isolate.app, &manager(ROOT, None), &person.id).await.expect("a link");
    let before = state();
    refused(
        users::get(&world.isolate.app, &View::of_nothing(second_organization()), &person.id).await,
        &Kind::NotFound,
    );
    refused(change(&world, second_organization(), &person, to_role(Role::Owner)).await, &Kind::NotFound);
    refused(change(&world, second_organization(), &person, to_blocked()).await, &Kind::NotFound);
    refused(remove(&world, second_organization(), &person).await, &Kind::NotFound);
    let link = links::issue_reset(&world.isolate.app, &manager(second_organization(), None), &person.id).await;
    refused(link.map(drop), &Kind::NotFound);
    assert_eq!(state(), before);
}

#[tokio::test]
async fn a_user_of_no_organization_cannot_sign_in() {
    let world = World::new();
    let person = world.user("alone", "member").await;
    let (secret, _) = world.second_factor(&person).await;
    let path = format!("/api/users/{}/reset-link", person.id);
    let link = crate::support::token_of(&world.post(&path).bearer(ADMIN).send().await.expect(201));
    world.database.execute("DELETE FROM memberships");
    assert_eq!(status_of(&world, &person.token).await, 401);
    world.get("/packages.json").basic(&person.token).composer().send().await.expect(401);
    let known = world.log_in(&person.email, PASSWORD, json!({"totp_code": world.code(&secret, 0)})).await.expect(401);
    let unknown = world.log_in("nobody@example.org", PASSWORD, json!({})).await.expect(401);
    assert_eq!(known.json(), unknown.json());
    let body = json!({"token": link, "password": "another horse battery"});
    world.post("/api/auth/reset").json(&body).send().await.expect(404);
    assert_eq!(listed(&world, ROOT).await, []);
}

#[tokio::test]
async fn a_link_is_worth_what_its_issuer_may_in_its_organization() {
    let world = world().await;
    let issuer = member_of_both(&world, "issuer", "admin", "viewer").await;
    let person = member_of_both(&world, "both", "member", "member").await;
    let by = manager(ROOT, Some(primary_key(&world, &issuer)));
    let app = &world.isolate.app;
    let (invitation, _) = links::invite(app, &by, "invited@example.org", Role::Viewer).await.expect("an invitation");
    let link = links::issue_reset(app, &by, &person.id).await.expect("a link");
    remove(&world, ROOT, &issuer).await.expect("removed");

    // The issuer still has an account, and in the second organization a role that manages nobody.
    let accept = async || {
        let body = json!({"token": invitation.plain.reveal(), "name": "Invited", "password": PASSWORD});
        world.post("/api/auth/accept-invitation").json(&body).send().await
    };
    let reset = async || {
        let body = json!({"token": link.plain.reveal(), "password": "another horse battery"});
        world.post("/api/auth/reset").json(&body).send().await
    };
    accept().await.expect(404);
    reset().await.expect(404);

    // What they may in the second organization counts for a user of it, and not for an invitation to the first.
    change(&world, second_organization(), &issuer, to_role(Role::Admin)).await.expect("changed");
    accept().await.expect(404);
    reset().await.expect(200);
    assert_eq!(audited(&world, "user.password_reset"), [json!({"o": second_organization(), "target": person.id})]);
}

#[tokio::test]
async fn no_look_up_reads_a_whole_table() {
    let world = World::new();
    for stmt in [
        rostrum::store::access::users::credentials_by_email("a@example.org"),
        rostrum::store::access::users::credentials(1),
        rostrum::store::access::users::by_uid(ROOT, "uid"),
        rostrum::store::access::sessions::look_up("hash", DAWN, DAWN),
        rostrum::store::access::sessions::see("hash", DAWN, DAWN),
    ] {
        let plan = world.database.plan(&stmt);
        assert!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{}\n{plan}", stmt.sql);
    }
}

#[tokio::test]
async fn nobody_is_in_an_organization_twice() {
    let world = world().await;
    let person = member_of_both(&world, "both", "member", "viewer").await;
    let again = run(&*world.database, insert_membership(second_organization(), &person.id, "owner", DAWN)).await;
    assert!(matches!(again, Err(DatabaseError::Conflict(_))), "{again:?}");
    assert_eq!(memberships(&world, &person), json!([[ROOT, "member"], [second_organization(), "viewer"]]));
}

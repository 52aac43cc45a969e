//! `tenancy authz`, as an operator runs it: the binary itself, and the real audit log.

use std::{
    process::{Command, Output},
    time::Duration,
};

use sqlx::postgres::PgListener;
use tenancy::{
    authz::{PgAuthorizer, RoleTemplate, sync_roles},
    core::{
        Email, Invitations, NewInvitation, RoleKey, TenantCtx, UserId,
        testing::{MemoryAudit, TestTenant},
    },
};
use tenancy_testkit::Db;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const PARTS: &[&tenancy::core::migrate::Component] = &[
    &tenancy::core::migrate::CORE,
    &tenancy::audit::COMPONENT,
    &tenancy::authz::COMPONENT,
];

/// Two tenants; in the first a viewer beside the owner.
struct House {
    db: Db,
    owner: TenantCtx,
    viewer: TenantCtx,
    other: TenantCtx,
    folder: tempfile::TempDir,
}

impl House {
    async fn new() -> Result<Self> {
        let db = Db::new(PARTS).await?;
        let known: Vec<_> = PARTS
            .iter()
            .flat_map(|part| part.permissions)
            .copied()
            .collect();
        let template = RoleTemplate::new("auditor", 1, "Auditor").with_grants(&["audit.*"]);
        sync_roles(&db.operator, &known, &[template]).await?;
        let authz = PgAuthorizer::new(db.app.clone(), std::sync::Arc::new(MemoryAudit::new()));
        let authz = std::sync::Arc::new(authz);
        let tenant = || TestTenant::builder(&db.app).with_roles(authz.clone());
        let owner = tenant().create().await?.owner().clone();
        let other = tenant().create().await?.owner().clone();
        let audit = std::sync::Arc::new(MemoryAudit::new());
        let invitations = Invitations::new(db.app.clone(), authz.clone(), authz.clone(), audit);
        let email = Email::parse("viewer@example.com")?;
        let roles = vec![RoleKey::from_static("auditor")];
        let invitation = NewInvitation::new(email.clone(), roles);
        let sent = invitations.invite(&owner, invitation).await?;
        let viewer = invitations
            .accept(sent.token.expose(), UserId::new(), &email)
            .await?;
        let folder = tempfile::tempdir()?;
        Ok(Self {
            db,
            owner,
            viewer,
            other,
            folder,
        })
    }

    fn run(&self, arguments: &[&str]) -> Result<Output> {
        Ok(Command::new(env!("CARGO_BIN_EXE_tenancy"))
            .arg("authz")
            .args(arguments)
            .env("TENANCY_APP_URL", self.db.server.app_url())
            .env("TENANCY_OPERATOR_URL", self.db.server.operator_url())
            .env("TENANCY_WORKER_URL", self.db.server.worker_url())
            .output()?)
    }

    /// Exit code, standard output, and what was said of an error.
    fn said(&self, arguments: &[&str]) -> Result<(Option<i32>, String, String)> {
        let output = self.run(arguments)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        ))
    }

    fn file(&self, text: &str) -> Result<String> {
        let path = self.folder.path().join("policy.yaml");
        std::fs::write(&path, text)?;
        Ok(path.to_string_lossy().into_owned())
    }
}

fn id(ctx: &TenantCtx) -> (String, String) {
    let user = ctx.user().map(|user| user.to_string());
    (ctx.tenant().to_string(), user.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_told_who_may_do_what_and_why() -> Result {
    let house = House::new().await?;
    let ((tenant, owner), (_, viewer)) = (id(&house.owner), id(&house.viewer));
    let (other, stranger) = id(&house.other);

    let (code, text, _) = house.said(&["explain", &tenant, &viewer, "audit.read"])?;
    let why = format!("allowed: {viewer} has `audit.read` by `auditor` (by `audit.*`)\n");
    assert_eq!((code, text), (Some(0), why));
    let (code, text, _) = house.said(&["explain", &tenant, &viewer, "roles.manage"])?;
    assert_eq!(code, Some(1));
    assert!(text.starts_with("denied: none of "), "{text}");
    let (code, text, _) = house.said(&["explain", &tenant, &stranger, "audit.read"])?;
    assert_eq!(
        (code, text),
        (Some(1), format!("denied: {stranger} is no member\n"))
    );
    let (code, _, words) = house.said(&["explain", &tenant, &viewer, "Audit.Read"])?;
    assert_eq!(code, Some(2), "{words}");

    let (code, text, _) = house.said(&["who", &tenant, "audit.read"])?;
    let mut lines: Vec<_> = text.lines().map(ToOwned::to_owned).collect();
    lines.sort();
    let mut expected = [format!("{owner} owner"), format!("{viewer} auditor")];
    expected.sort();
    assert_eq!((code, lines), (Some(0), expected.to_vec()));
    let (_, text, _) = house.said(&["who", &other, "audit.read"])?;
    assert_eq!(text, format!("{stranger} owner\n"));

    let (code, text, _) = house.said(&["can", &tenant, &viewer])?;
    assert_eq!(code, Some(0));
    assert_eq!(house.said(&["what-can", &tenant, &viewer])?.1, text);
    let who = house.said(&["who", &tenant, "audit.read"])?.1;
    assert_eq!(house.said(&["who-can", &tenant, "audit.read"])?.1, who);
    assert!(
        text.contains("audit.read\n") && !text.contains("roles.manage"),
        "{text}"
    );

    let (code, text, _) = house.said(&["matrix", &tenant])?;
    assert_eq!(code, Some(0));
    assert!(
        text.lines()
            .any(|line| line.starts_with("audit.read ") && line.contains('+')),
        "{text}"
    );
    let (_, svg, _) = house.said(&["matrix", &tenant, "--svg"])?;
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n") && svg.contains(">auditor<"));
    // By the rights of a member who may not see roles.
    let (code, _, words) = house.said(&["matrix", &tenant, "--as", &viewer])?;
    assert_eq!(code, Some(2));
    assert!(words.contains("roles.read"), "{words}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_goes_out_is_edited_and_comes_back() -> Result {
    let house = House::new().await?;
    let ((tenant, owner), (_, viewer)) = (id(&house.owner), id(&house.viewer));
    let (code, yaml, _) = house.said(&["export", &tenant])?;
    assert_eq!(code, Some(0));
    let (_, json, _) = house.said(&["export", &tenant, "--format", "json"])?;
    for form in [&yaml, &json] {
        let (code, text, words) = house.said(&["diff", &tenant, &house.file(form)?])?;
        assert_eq!((code, text.as_str()), (Some(0), ""), "{words}");
    }
    let edited = yaml.replace("Auditor", "Inspector");
    assert_ne!(edited, yaml);
    let file = house.file(&edited)?;
    let (code, text, _) = house.said(&["diff", &tenant, &file])?;
    assert_eq!(
        (code, text.as_str()),
        (Some(1), "~ role auditor: name Inspector\n")
    );

    let (code, _, words) = house.said(&["import", &tenant, &file])?;
    assert_eq!(code, Some(2));
    assert!(words.contains("--as"), "{words}");
    let (code, _, words) = house.said(&["import", &tenant, &file, "--as", &viewer])?;
    assert_eq!(code, Some(2));
    assert!(words.contains("roles.manage"), "{words}");
    let (code, text, _) = house.said(&["import", &tenant, &file, "--as", &owner, "--dry-run"])?;
    assert_eq!(code, Some(0));
    assert!(text.ends_with("1 changes would be made\n"), "{text}");
    let mut told = PgListener::connect(house.db.server.app_url()).await?;
    told.listen("tenancy_authz").await?;
    let (code, text, _) = house.said(&["import", &tenant, &file, "--as", &owner])?;
    assert_eq!(code, Some(0));
    assert!(text.ends_with("1 changes made\n"), "{text}");
    // The program has ended: what it did not tell other processes by now, it never tells.
    let note = tokio::time::timeout(Duration::from_secs(5), told.recv()).await??;
    assert_eq!(note.payload(), tenant);
    // It names the epoch before.
    let (code, _, words) = house.said(&["import", &tenant, &file, "--as", &owner])?;
    assert_eq!(code, Some(2));
    assert!(words.contains("export it again"), "{words}");

    let mut tx = house.db.app.read(&house.owner).await?;
    let actions: Vec<(String, String)> = sqlx::query_as(
        "SELECT action, actor_id FROM tenancy.audit_logs WHERE action LIKE 'role.%' OR action LIKE 'policy.%' ORDER BY 1",
    )
    .fetch_all(&mut *tx)
    .await?;
    let expected =
        ["policy.imported", "role.renamed"].map(|action| (action.to_owned(), owner.clone()));
    assert_eq!(actions, expected);

    let bomb = "version: 1\nroles: &a {}\nmembers: *a\n";
    let (code, _, words) = house.said(&["diff", &tenant, &house.file(bomb)?])?;
    assert_eq!(code, Some(2));
    assert!(words.starts_with("error: this is no policy"), "{words}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_who_edited_a_template_and_purges_what_ended() -> Result {
    let house = House::new().await?;
    let (tenant, _) = id(&house.owner);
    assert_eq!(
        house.said(&["edited"])?,
        (Some(0), String::new(), String::new())
    );
    sqlx::raw_sql(
        "UPDATE tenancy.roles SET name = 'x' WHERE false;
         UPDATE tenancy.member_roles SET expires_at = now() - interval '100 days' WHERE role_key = 'auditor'",
    )
    .execute(&house.db.superuser().await?)
    .await?;
    assert_eq!(
        house.said(&["purge", "--keep-days", "365"])?.1,
        "0 assignments deleted\n"
    );
    assert_eq!(house.said(&["purge"])?.1, "1 assignments deleted\n");
    sqlx::query("DELETE FROM tenancy.role_wildcards WHERE tenant_id = $1::uuid")
        .bind(&tenant)
        .execute(&house.db.superuser().await?)
        .await?;
    let known: Vec<_> = PARTS
        .iter()
        .flat_map(|part| part.permissions)
        .copied()
        .collect();
    let later = RoleTemplate::new("auditor", 2, "Auditor").with_grants(&["audit.read"]);
    sync_roles(&house.db.operator, &known, &[later]).await?;
    let told = format!("{tenant} auditor version 2 edited\n");
    assert_eq!(house.said(&["edited"])?.1, told);

    // What became of roles is put into the logs of their tenants, once, by who migrates.
    for is_first in [true, false] {
        let output = Command::new(env!("CARGO_BIN_EXE_tenancy"))
            .args(["migrate", "--single-node"])
            .env("TENANCY_OPERATOR_URL", house.db.server.operator_url())
            .env("TENANCY_APP_URL", house.db.server.app_url())
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{text}");
        let nothing = text.ends_with("\n0 changes of roles by their templates recorded\n");
        assert_eq!(nothing, !is_first, "{text}");
        assert_eq!(text.contains("applied authz_epochs 1"), is_first, "{text}");
    }
    let mut tx = house.db.app.read(&house.owner).await?;
    let entries: Vec<(String, serde_json::Value)> = sqlx::query_as(
        "SELECT actor_id, meta -> 'outcome' FROM tenancy.audit_logs WHERE action = 'role.template_followed' AND resource = 'role:auditor'",
    )
    .fetch_all(&mut *tx)
    .await?;
    assert_eq!(
        entries,
        [("role_templates".to_owned(), serde_json::json!("edited"))]
    );
    Ok(())
}

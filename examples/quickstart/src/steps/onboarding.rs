//! Two tenants come to be, and one of them gets a member.

use tenancy::core::{Email, NewInvitation, NewTenant, Slug, TenantCtx, TenantName, UserId};

use crate::{Result, Screen, World, host::SUPPORT};

/// Who is in the story.
pub(crate) struct People {
    /// Owner of `acme`.
    pub(crate) ada: TenantCtx,
    /// Support at `acme`.
    pub(crate) bob: TenantCtx,
    /// Owner of `globex`, the other tenant.
    pub(crate) eve: TenantCtx,
}

pub(crate) async fn run(screen: &mut Screen, world: &World) -> Result<People> {
    screen.step("Two tenants");
    let ada = create(screen, world, "acme", "Acme Corp").await?;
    let eve = create(screen, world, "globex", "Globex").await?;

    let email = Email::parse("Bob@Example.com")?;
    screen.ask("ada invites bob@example.com as support");
    let invitation = NewInvitation::new(email.clone(), vec![SUPPORT]);
    let sent = world.invitations.invite(&ada, invitation).await?;
    let stored: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM tenancy.invitation_tokens t WHERE t::text LIKE '%' || $1 || '%'",
    )
    .bind(sent.token.expose())
    .fetch_one(&world.superuser)
    .await?;
    screen.got(format!(
        "invitation {} until {}",
        sent.invitation.id, sent.invitation.expires_at
    ));
    screen.promise(
        "the invitation's token is not in the database, only its hash",
        stored == 0,
    );

    let token = sent.token.expose();
    let bob = world
        .invitations
        .accept(token, UserId::new(), &email)
        .await?;
    let again = world.invitations.accept(token, UserId::new(), &email).await;
    screen.got(format!("bob is in; a second use answers: {}", said(&again)));
    screen.promise("an invitation works once", again.is_err());

    let stranger = world
        .db
        .enter(ada.tenant(), eve.user().ok_or("an owner is a user")?)
        .await;
    screen.ask("globex's owner tries to enter acme");
    screen.got(said(&stranger));
    screen.promise(
        "nobody enters a tenant he is no member of",
        stranger.is_err(),
    );
    Ok(People { ada, bob, eve })
}

async fn create(screen: &Screen, world: &World, slug: &str, name: &str) -> Result<TenantCtx> {
    screen.ask(format!("create tenant `{slug}`"));
    let new = NewTenant::new(Slug::parse(slug)?, TenantName::parse(name)?, UserId::new());
    let ctx = world.tenants.create(new).await?;
    let tenant = world.tenants.get(&ctx).await?;
    let mut tx = world.db.read(&ctx).await?;
    let roles: Vec<String> = sqlx::query_scalar("SELECT key FROM tenancy.roles ORDER BY key")
        .fetch_all(&mut *tx)
        .await?;
    screen.got(format!(
        "{} `{}` with the roles {}",
        tenant.id,
        tenant.slug,
        roles.join(", ")
    ));
    Ok(ctx)
}

/// An answer in one line.
pub(crate) fn said<T, E: std::fmt::Display>(answer: &std::result::Result<T, E>) -> String {
    match answer {
        Ok(_) => "yes".to_owned(),
        Err(error) => format!("no: {error}"),
    }
}

//! Templates: migrated once, cloned for every test.

use crate::error::{BoxError, Error, ErrorKind};
use crate::model::{DbName, Endpoint, Login};
use crate::postgres::{self, Admin, Locked};
use crate::service::{Database, DevDb};

/// Clones the template of `key` into `name`, making the template first if need be.
pub(super) async fn clone_into<M, F>(
    dev: &DevDb,
    name: &DbName,
    key: &str,
    vector: bool,
    migrate: M,
) -> Result<(), Error>
where
    M: FnOnce(Database) -> F,
    F: Future<Output = Result<(), BoxError>>,
{
    let template = DbName::template(key, vector);
    let mut admin = dev.admin().await?;
    if admin.state(&template).await? != Some(true) {
        // One at a time on the whole server: migrations make roles, and roles are everybody's.
        admin.lock(Locked::Templates).await?;
        if admin.state(&template).await? != Some(true) {
            build(dev, &mut admin, &template, vector, migrate).await?;
        }
        admin.unlock(Locked::Templates).await?;
    }
    let owner = dev.inner().endpoint.role(Login::Operator);
    if !admin.create(name, template.as_str(), &owner).await? {
        let text = format!("the template `{template}` was dropped while it was used; try again");
        return Err(Error::new(ErrorKind::Sql, text));
    }
    admin.copy_extras(&template, name).await?;
    admin.close().await;
    Ok(())
}

/// Makes the new database `name` with nothing in it.
pub(super) async fn create_plain(dev: &DevDb, name: &DbName, vector: bool) -> Result<(), Error> {
    let mut admin = dev.admin().await?;
    plain(dev, &mut admin, name, vector).await?;
    admin.close().await;
    Ok(())
}

/// Makes `name` unless it is there.
pub(super) async fn ensure_plain(dev: &DevDb, name: &DbName) -> Result<(), Error> {
    let mut admin = dev.admin().await?;
    if admin.state(name).await?.is_none() {
        admin.lock(Locked::Names).await?;
        if admin.state(name).await?.is_none() {
            plain(dev, &mut admin, name, true).await?;
        }
        admin.unlock(Locked::Names).await?;
    }
    admin.close().await;
    Ok(())
}

async fn build<M, F>(
    dev: &DevDb,
    admin: &mut Admin,
    template: &DbName,
    vector: bool,
    migrate: M,
) -> Result<(), Error>
where
    M: FnOnce(Database) -> F,
    F: Future<Output = Result<(), BoxError>>,
{
    prune(admin).await?;
    // What a killed process left half migrated.
    admin.drop_template(template).await?;
    plain(dev, admin, template, vector).await?;
    let database = Database::new(&dev.inner().endpoint, Some(template));
    if let Err(source) = migrate(database).await {
        admin.drop(template).await?;
        let text = format!("cannot migrate the template: {source}");
        return Err(Error::new(ErrorKind::Migrate, text).with_source(source));
    }
    dev.grant_logins_in(admin).await?;
    admin.finish_template(template).await
}

async fn plain(dev: &DevDb, admin: &mut Admin, name: &DbName, vector: bool) -> Result<(), Error> {
    let endpoint = &dev.inner().endpoint;
    let owner = endpoint.role(Login::Operator);
    let from = if vector { "template1" } else { "template0" };
    admin.create(name, from, &owner).await?;
    if vector && matches!(endpoint, Endpoint::External(_)) {
        let url = endpoint
            .url(Login::Operator, Some(name))
            .unwrap_or_default();
        let connected = postgres::connect(&url).await;
        let mut inside = connected.map_err(|e| Error::sql("connect to the new database", e))?;
        inside.create_vector().await?;
        inside.close().await;
    }
    Ok(())
}

/// Every change of a migration leaves a template behind: the oldest go.
async fn prune(admin: &mut Admin) -> Result<(), Error> {
    let names = admin.databases().await?;
    let mut templates: Vec<_> = names
        .into_iter()
        .filter(|(n, _)| n.starts_with("tpl_"))
        .collect();
    let spare = templates.len().saturating_sub(TEMPLATES_KEPT);
    for (name, _) in templates.drain(..spare) {
        if let Ok(name) = DbName::parse(&name) {
            admin.drop_template(&name).await?;
        }
    }
    Ok(())
}

/// About ten megabytes each.
const TEMPLATES_KEPT: usize = 24;

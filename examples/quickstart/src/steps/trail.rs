//! What is left of it all in the audit log.

use std::collections::BTreeMap;

use tenancy::audit::AuditQuery;

use super::onboarding::People;
use crate::{Result, Screen, World};

pub(crate) async fn run(screen: &mut Screen, world: &World, people: &People) -> Result {
    screen.step("The audit trail");
    screen.ask("acme's entries, by action");
    let mut actions: BTreeMap<String, usize> = BTreeMap::new();
    let mut query = AuditQuery::new().with_limit(200);
    loop {
        let page = world.log.search(&people.ada, &query).await?;
        for entry in page.entries {
            *actions.entry(entry.action.clone()).or_default() += 1;
        }
        match page.next {
            Some(next) => query = query.with_after(next),
            None => break,
        }
    }
    for (action, count) in &actions {
        screen.got(format!("{count:>3} {action}"));
    }
    let told = ["tenant.created", "invitation.accepted", "access.denied"];
    let complete = told.iter().all(|action| actions.contains_key(*action));
    screen.promise("what happened is on record", complete);

    let verified = world.log.verify(&people.ada, &AuditQuery::new()).await?;
    screen.got(format!("content hashes checked: {verified:?}"));
    screen.ask("the app's login edits and deletes entries");
    let mut tx = world.db.write(&people.ada).await?;
    let edit = sqlx::query("UPDATE tenancy.audit_logs SET action = 'x.y'")
        .execute(&mut *tx)
        .await;
    let mut tx = world.db.write(&people.ada).await?;
    let delete = sqlx::query("DELETE FROM tenancy.audit_logs")
        .execute(&mut *tx)
        .await;
    let refused = |answer: &std::result::Result<_, sqlx::Error>| {
        answer
            .as_ref()
            .err()
            .map_or("done".to_owned(), ToString::to_string)
    };
    screen.got(format!("{}; {}", refused(&edit), refused(&delete)));
    screen.promise(
        "nobody edits or deletes an entry",
        edit.is_err() && delete.is_err(),
    );
    Ok(())
}

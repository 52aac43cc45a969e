//! `remove`, `policy`, `retain`, `hold` and `drop-month`.

use super::{Result, Shop};

#[tokio::test(flavor = "multi_thread")]
async fn entries_past_their_time_go_with_a_record() -> Result {
    let shop = Shop::new().await?;
    shop.record(2).await?;
    shop.seal(4).await?;
    let tenant = shop.ctx.tenant().to_string();
    let remove = [
        "remove",
        &tenant,
        "--older-than",
        "0",
        "--action",
        "login.*",
        "--reason",
        "a test",
    ];
    let (code, text) = shop.said(&remove)?;
    assert_eq!((code, text.as_str()), (Some(0), "2 entries removed\n"));
    let file = shop.folder.path().join("proof");
    std::fs::write(&file, shop.run(&["prove", &tenant])?.stdout)?;
    let (code, text) = shop.verify(&file)?;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("2 removed by retention"), "{text}");
    let policy = [
        "policy", "set", "--action", "thing.*", "--keep", "7", "--reason", "a week",
    ];
    assert_eq!(shop.said(&policy)?, (Some(0), "set\n".to_owned()));
    let (_, text) = shop.said(&["policy", "list"])?;
    assert_eq!(text, "every tenant: thing.*: 7 days (a week)\n");
    assert_eq!(
        shop.said(&["retain"])?,
        (Some(0), "0 entries removed\n".to_owned())
    );
    let (code, text) = shop.said(&["hold", &tenant, "case 7"])?;
    assert_eq!(code, Some(2));
    assert!(text.contains("is not gone"), "{text}");
    let (code, text) = shop.said(&["drop-month", "2020-01-01", "--reason", "a test"])?;
    assert_eq!(code, Some(2));
    assert!(text.contains("no partition of this month"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_took_has_no_proof_and_the_rest_has() -> Result {
    let shop = Shop::new().await?;
    shop.record(2).await?;
    shop.seal(4).await?;
    let tenant = shop.ctx.tenant().to_string();
    let ids: Vec<tenancy::audit::AuditEntryId> =
        sqlx::query_scalar("SELECT id FROM tenancy.audit_logs WHERE tenant_id = $1 ORDER BY id")
            .bind(shop.ctx.tenant())
            .fetch_all(&shop.db.superuser().await?)
            .await?;
    let gone = ids[0].to_string();
    let remove = [
        "remove",
        &*tenant,
        "--older-than",
        "0",
        "--action",
        "login.*",
        "--reason",
        "x",
    ];
    assert_eq!(shop.said(&remove)?.0, Some(0));
    let (code, text) = shop.said(&["prove", &tenant, "--entry", &gone])?;
    assert_eq!(code, Some(2), "{text}");
    assert!(
        text.contains(&format!("there is no entry `{gone}`")),
        "{text}"
    );
    shop.record(1).await?;
    shop.seal(6).await?;
    let left: tenancy::audit::AuditEntryId =
        sqlx::query_scalar("SELECT id FROM tenancy.audit_logs WHERE tenant_id = $1")
            .bind(shop.ctx.tenant())
            .fetch_one(&shop.db.superuser().await?)
            .await?;
    let file = shop.folder.path().join("proof");
    let left = left.to_string();
    for what in [
        vec!["--entry", &left],
        vec!["--from", "1", "--to", "2"],
        vec![],
    ] {
        let arguments = [vec!["prove", &tenant], what].concat();
        std::fs::write(&file, shop.run(&arguments)?.stdout)?;
        let (code, text) = shop.verify(&file)?;
        assert_eq!(code, Some(0), "{arguments:?}: {text}");
    }
    Ok(())
}

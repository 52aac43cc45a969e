//! `verify --anchor`: the heads that were copied before the log was exported say what has to be in it.

use super::{Result, Shop};

/// As the guide has it: first the heads, then the log.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_verified_while_the_sealer_goes_on_and_a_tail_that_was_cut_shows() -> Result {
    let shop = Shop::new().await?;
    let tenant = shop.ctx.tenant().to_string();
    let (_, public) = shop.said(&["public-key"])?;
    std::fs::write(shop.path("keys"), public)?;
    let before = ["--keys", "keys", "--anchor", "heads-before"];
    let copy = || std::fs::copy(shop.path("heads"), shop.path("heads-before"));
    let prove =
        || Ok::<_, Box<dyn std::error::Error + Send + Sync>>(shop.run(&["prove", &tenant])?.stdout);
    let mut log = String::new();
    for sealed in [2, 4, 6] {
        shop.record(1).await?;
        shop.seal(sealed).await?;
        match sealed {
            2 => drop(copy()?),
            4 => log = String::from_utf8(prove()?)?,
            _ => {}
        }
    }
    let (code, text) = shop.offline(&log, &before)?;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.ends_with("nothing was changed\n"), "{text}");
    // The other way round nobody can tell.
    let (code, text) = shop.offline(&log, &["--keys", "keys", "--anchor", "heads"])?;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("the anchor knows seals up to 3\n"), "{text}");
    assert!(text.contains("THE LOG ENDS BEFORE THE ANCHOR: "), "{text}");
    assert!(!text.contains("CHANGED"), "{text}");

    copy()?;
    let (code, text) = shop.offline(&String::from_utf8(prove()?)?, &before)?;
    assert_eq!(code, Some(0), "{text}");
    sqlx::raw_sql(
        "DELETE FROM tenancy.audit_logs l USING tenancy.audit_seals s
             WHERE s.number = 3 AND s.tenant_id = l.tenant_id AND position(uuid_send(l.id) IN s.ids) > 0;
         DELETE FROM tenancy.audit_seals WHERE number = 3",
    )
    .execute(&shop.db.superuser().await?)
    .await?;
    let cut = String::from_utf8(prove()?)?;
    let (code, text) = shop.offline(&cut, &["--keys", "keys"])?;
    assert_eq!(code, Some(0), "nothing in it tells: {text}");
    let (code, text) = shop.offline(&cut, &before)?;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("the anchor knows seals up to 3\n"), "{text}");

    let half = std::fs::read_to_string(shop.path("heads-before"))?;
    std::fs::write(shop.path("heads-before"), &half[..half.len() - 40])?;
    let (_, text) = shop.offline(&log, &before)?;
    assert!(text.contains("torn while they were written: 1\n"), "{text}");
    Ok(())
}

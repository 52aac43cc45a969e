//! `adopt`: a restored log goes on, and what is lost is told.

use super::{Result, Shop};

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_log_is_adopted_with_the_heads_of_each_anchor() -> Result {
    let shop = Shop::new().await?;
    for sealed in [2, 4, 6] {
        shop.record(1).await?;
        shop.seal(sealed).await?;
    }
    // The backup has the first seal of each tenant.
    sqlx::raw_sql(
        "DELETE FROM tenancy.audit_logs l USING tenancy.audit_seals s
             WHERE s.number > 1 AND s.tenant_id = l.tenant_id AND position(uuid_send(l.id) IN s.ids) > 0;
         DELETE FROM tenancy.audit_seals WHERE number > 1; DELETE FROM tenancy.audit_anchored",
    )
    .execute(&shop.db.superuser().await?)
    .await?;
    let heads = std::fs::read_to_string(shop.path("heads"))?;
    let (here, there): (Vec<&str>, Vec<&str>) = heads
        .lines()
        .partition(|line| line.contains(r#""number":2"#));
    std::fs::write(shop.path("here"), here.join("\n") + "\n7\n")?;
    std::fs::write(shop.path("there"), there.join("\n") + "\n")?;
    let (here, there) = (shop.path("here"), shop.path("there"));
    let adopt = [
        "adopt", "--reason", "restored", "--anchor", &here, "--anchor", &there,
    ];
    let (code, text) = shop.said(&[&adopt[..], &["--most-lost", "3"]].concat())?;
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("and there may be more"), "{text}");

    let (code, text) = shop.said(&adopt)?;
    assert_eq!(code, Some(0), "{text}");
    for ctx in [&shop.ctx, &shop.other] {
        let lost = format!("tenant {}: 2 seals are lost\n", ctx.tenant());
        assert!(text.contains(&lost), "{text}");
    }
    assert!(
        text.contains("2 logs adopted, 0 entries sealed\n"),
        "{text}"
    );
    assert!(text.contains("no head anybody signed: 1;"), "{text}");

    shop.record(1).await?;
    shop.seal(4).await?;
    let tenant = shop.ctx.tenant().to_string();
    let proof = shop.run(&["prove", &tenant])?.stdout;
    std::fs::write(shop.path("log"), proof)?;
    let (code, text) = shop.verify(shop.path("log").as_ref())?;
    assert_eq!(code, Some(0), "{text}");
    let told = " behind seal 1, 2 seals lost, 0 entries out of order: restored\n";
    assert!(text.contains(told), "{text}");
    Ok(())
}

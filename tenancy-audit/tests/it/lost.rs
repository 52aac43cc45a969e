//! Seals that an anchor knew and a restored log does not have.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use tenancy_audit::{LostSeal, SealSigner as _};
use tenancy_core::TenantId;

use crate::{
    adoption::Moved,
    seals::{record, seal_all, signer},
};

/// The bytes of a field of a head that is signed.
fn field(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap();
    [&length.to_be_bytes()[..], bytes].concat()
}

/// A line of an anchor: the head of a seal of a history that is gone.
async fn head(moved: &Moved, tenant: TenantId, number: u64) -> String {
    let (seal, root, key) = ([7; 32], [8; 32], moved.signer.key_name());
    let bytes = [
        field(b"tenancy.audit.head.v1"),
        field(tenant.as_uuid().as_bytes()),
        field(&number.to_be_bytes()),
        field(&number.to_be_bytes()),
        field(&seal),
        field(&root),
        field(key.as_bytes()),
    ];
    let signature = moved.signer.sign(&bytes.concat()).await.unwrap();
    let head = serde_json::json!({
        "tenant_id": tenant, "number": number, "entries": number, "seal": BASE64.encode(seal),
        "log_root": BASE64.encode(root), "key": key, "signature": signature,
    });
    format!("{head}\n")
}

/// As many seals of A as that, behind the first, that no backup has.
async fn after_a_restore(lost: u64) -> (Moved, Vec<u8>) {
    let moved = Moved::new().await;
    record(&moved.house, &moved.house.a, 2).await;
    seal_all(&moved.house, &moved.sealer, 2).await;
    record(&moved.house, &moved.house.a, 3).await;
    let mut heads = moved.anchored();
    for number in 2..lost + 2 {
        heads.extend(head(&moved, moved.house.a.tenant(), number).await.bytes());
    }
    (moved, heads)
}

#[tokio::test]
async fn however_many_seals_are_lost_all_are_named() {
    let (moved, heads) = after_a_restore(10_005).await;
    let adopter = moved.adopter().with_anchor(&*heads).await.unwrap();
    let done = adopter.adopt("restored").await.unwrap();
    assert_eq!(done.lost, [(moved.house.a.tenant(), 10_005)]);
    assert_eq!((done.tenants, done.entries), (1, 3));
    record(&moved.house, &moved.house.a, 1).await;
    seal_all(&moved.house, &moved.sealer, 6).await;
    let report = moved.report_with(&heads).await;
    assert!(report.is_intact(), "{:?}", report.findings);
    let told = |adoption: &tenancy_audit::Adoption| {
        let numbers = |lost: &LostSeal| lost.number;
        let (first, last) = (adoption.lost.first(), adoption.lost.last());
        let lost = (first.map(numbers), last.map(numbers));
        (adoption.number, adoption.loose, lost)
    };
    assert_eq!(
        report.adoptions.iter().map(told).collect::<Vec<_>>(),
        [
            (1, 3, (Some(2), Some(10_001))),
            (1, 0, (Some(10_002), Some(10_006)))
        ]
    );
}

#[tokio::test]
async fn what_can_not_be_kept_in_memory_is_refused_and_not_left_out() {
    let (moved, heads) = after_a_restore(3).await;
    let few = moved.adopter().with_most_lost(2);
    let refused = few.with_anchor(&*heads).await.unwrap_err();
    assert_eq!(refused.code(), "audit_lost_too_many");
    // Those that the log has, by any number of lines, are none of them.
    let twice = heads.repeat(2);
    let enough = moved.adopter().with_most_lost(3);
    let adopter = enough.with_anchor(&*twice).await.unwrap();
    let done = adopter.adopt("restored").await.unwrap();
    assert_eq!(done.lost, [(moved.house.a.tenant(), 3)]);
}

#[tokio::test]
async fn a_lost_seal_under_a_key_that_is_not_given_is_refused_and_one_that_is_there_is_not() {
    let (moved, heads) = after_a_restore(1).await;
    let other = tenancy_audit::Adopter::new(
        moved.house.db.operator.clone(),
        moved.signer.clone(),
        signer("two").1,
    );
    let refused = other.clone().with_anchor(&*heads).await.unwrap_err();
    assert_eq!(refused.code(), "audit_seal_key_unknown");
    assert!(refused.to_string().contains("`one`"), "{refused}");
    // Neither is what nobody signed, nor half of a head.
    let line = heads.split_inclusive(|byte| *byte == b'\n').next_back();
    let forged = String::from_utf8(line.unwrap().to_vec()).unwrap();
    let forged = forged.replace("\"entries\":2", "\"entries\":9");
    let others = [&*moved.anchored(), b"{\"tenant_id\n"].concat();
    assert!(other.with_anchor(&*others).await.is_ok());
    let heads = [&*others, forged.as_bytes()].concat();
    let adopter = moved.adopter().with_anchor(&*heads).await.unwrap();
    assert!(adopter.adopt("restored").await.unwrap().lost.is_empty());
}

#[tokio::test]
async fn a_file_that_is_none_of_an_anchor_is_refused() {
    let (moved, heads) = after_a_restore(1).await;
    let with = async |file: &[u8]| {
        let adopter = moved.adopter().with_anchor(file).await;
        adopter.map_err(|error| error.to_string())
    };
    let export = b"{\"format\":1}\n";
    for file in [export, &b"\x7fELF\n\n"[..]] {
        let refused = with(file).await.unwrap_err();
        assert!(refused.contains("line 1 of the anchor"), "{refused}");
    }
    let put_there = [&*heads, export].concat();
    let refused = with(&put_there).await.unwrap_err();
    assert!(refused.contains("line 3 of the anchor"), "{refused}");
    assert!(with(&[&*heads, b"{\"ten"].concat()).await.is_ok());
    assert!(with(b"").await.is_ok());
}

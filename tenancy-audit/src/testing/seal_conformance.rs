//! What every signer and every anchor has to do.

use chrono::{DateTime, Utc};
use tenancy_core::TenantId;

use crate::{
    Error, SealAnchor, SealHead, SealKeys, SealSigner,
    model::{Batch, Chain},
};

/// Runs the suite on a signer whose public key is among these.
///
/// # Panics
/// With what the signer does wrong.
#[expect(clippy::panic, reason = "a suite says what is wrong by panicking")]
pub async fn seal_signer(signer: &dyn SealSigner, keys: &SealKeys) {
    if let Err(error) = signs(signer, keys).await {
        panic!("the signer failed where it should not: {error}");
    }
}

async fn signs(signer: &dyn SealSigner, keys: &SealKeys) -> Result<(), Error> {
    let name = signer.key_name();
    assert!(
        keys.names().any(|known| known == name),
        "the key has a name that is known"
    );
    for message in [&b""[..], b"a", &[7; 5_000]] {
        let (one, two) = (signer.sign(message).await?, signer.sign(message).await?);
        for signature in [one, two] {
            assert_eq!(
                keys.verify(&name, message, &signature),
                Some(true),
                "it signs the bytes given"
            );
            assert_eq!(
                keys.verify(&name, b"other", &signature),
                Some(false),
                "and no others"
            );
        }
    }
    assert_eq!(signer.key_name(), name, "the name stays");
    Ok(())
}

/// Runs the suite on an anchor; `published` says what it holds now, in the order it came.
///
/// # Panics
/// With what the anchor does wrong.
#[expect(clippy::panic, reason = "a suite says what is wrong by panicking")]
pub async fn seal_anchor(anchor: &dyn SealAnchor, published: impl Fn() -> Vec<SealHead>) {
    if let Err(error) = keeps(anchor, &published).await {
        panic!("the anchor failed where it should not: {error}");
    }
}

async fn keeps(
    anchor: &dyn SealAnchor,
    published: &impl Fn() -> Vec<SealHead>,
) -> Result<(), Error> {
    let place = anchor.place();
    assert!(
        (1..=255).contains(&place.len()) && !place.contains('\0') && place == anchor.place(),
        "the place has a name that stays"
    );
    let before = published().len();
    let (one, two) = (heads(TenantId::new()), heads(TenantId::new()));
    anchor.publish(&[]).await?;
    anchor.publish(&[one[0].clone(), two[0].clone()]).await?;
    anchor.publish(&one[1..]).await?;
    anchor.publish(&one[1..]).await?;
    let held = published();
    for head in one.iter().chain(&two[..1]) {
        assert!(
            held.contains(head),
            "what was published is there, word for word"
        );
    }
    assert!(!held.contains(&two[1]), "and nothing else");
    assert!(held.len() >= before + 3, "nothing was taken back");
    Ok(())
}

fn heads(tenant: TenantId) -> [SealHead; 2] {
    let mut chain = Chain::default();
    let at = DateTime::<Utc>::UNIX_EPOCH;
    [0, 1].map(|_| chain.next(tenant, &Batch::default(), at, "suite").0.head())
}

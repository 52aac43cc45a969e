//! Personal data.

use super::refused;
use crate::{Error, ErrorKind, SealedText, SecretText, Subject, SubjectCipher, TenantCtx};

/// A [`SubjectCipher`] opens for the tenant and the subject it sealed for, and never again after
/// the subject was erased.
///
/// # Panics
/// Where the contract is broken.
pub async fn subject_cipher(
    cipher: &dyn SubjectCipher,
    a: &TenantCtx,
    b: &TenantCtx,
) -> Result<(), Error> {
    let (ann, bob) = (Subject::parse("lead:1")?, Subject::parse("lead:2")?);
    let text = || SecretText::new("ann@example.com");
    let sealed = cipher.seal(a, &ann, text()).await?;
    assert!(!sealed.as_str().contains("ann"), "{sealed:?}");
    assert_ne!(
        cipher.seal(a, &ann, text()).await?,
        sealed,
        "the same text twice"
    );
    let opened = cipher.open(a, &ann, &sealed).await?;
    assert_eq!(opened.expose(), "ann@example.com");
    let empty = cipher.seal(a, &ann, SecretText::new("")).await?;
    assert_eq!(cipher.open(a, &ann, &empty).await?.expose(), "");

    // Moved to another subject, to another tenant, and damaged.
    let bobs = cipher.seal(a, &bob, SecretText::new("bob")).await?;
    let theirs = cipher.seal(b, &ann, SecretText::new("theirs")).await?;
    refused(cipher.open(a, &bob, &sealed).await, ErrorKind::Internal);
    refused(cipher.open(b, &ann, &sealed).await, ErrorKind::Internal);
    let damaged = format!("{}x", sealed.as_str());
    for bad in ["", "x", "ann@example.com", damaged.as_str()] {
        let bad = SealedText::from_stored(bad);
        refused(cipher.open(a, &ann, &bad).await, ErrorKind::Internal);
    }
    let long = SecretText::new("x".repeat(65_537));
    refused(cipher.seal(a, &ann, long).await, ErrorKind::Limit);

    cipher.erase_subject(a, &ann).await?;
    cipher.erase_subject(a, &ann).await?;
    for error in [
        refused(cipher.open(a, &ann, &sealed).await, ErrorKind::Conflict),
        refused(cipher.seal(a, &ann, text()).await, ErrorKind::Conflict),
    ] {
        assert_eq!(error.code(), "subject_erased");
    }
    assert_eq!(cipher.open(a, &bob, &bobs).await?.expose(), "bob");
    let others = cipher.open(b, &ann, &theirs).await?;
    assert_eq!(
        others.expose(),
        "theirs",
        "another tenant's of the same name"
    );

    // One that was never sealed for stays closed too.
    let carol = Subject::parse("lead:3")?;
    cipher.erase_subject(a, &carol).await?;
    refused(cipher.seal(a, &carol, text()).await, ErrorKind::Conflict);
    Ok(())
}

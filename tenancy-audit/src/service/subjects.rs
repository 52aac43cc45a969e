//! Sealing personal details under the keys of the persons they are about.

use serde_json::{Map, Value};
use tenancy_core::{SealedText, SecretText, Subject, SubjectCipher, TenantCtx};

use super::prepare::ORIGIN_DETAILS;
use crate::{
    Error, ErrorKind, Record,
    model::{SEALED, SealedDetails},
};

/// Seals what the record says about persons: the origin under the actor's key, the rest under that of
/// whom the event is about. Details of a subject that was erased are left out.
pub(crate) async fn seal(
    cipher: &dyn SubjectCipher,
    ctx: &TenantCtx,
    about: Option<Subject>,
    record: &mut Record,
) -> Result<(), Error> {
    if record.personal.is_empty() {
        return Ok(());
    }
    let actor = actor(record)?;
    let about = about.unwrap_or_else(|| actor.clone());
    let (origin, details): (Map<_, _>, Map<_, _>) = std::mem::take(&mut record.personal)
        .into_iter()
        .partition(|(name, _)| about != actor && ORIGIN_DETAILS.contains(&name.as_str()));
    for (key, subject, pairs) in [("*origin", &actor, origin), ("*", &about, details)] {
        if pairs.is_empty() {
            continue;
        }
        let names = pairs.keys().cloned().collect();
        let text = SecretText::new(Value::Object(pairs).to_string());
        let sealed = match cipher.seal(ctx, subject, text).await {
            Err(error) if error.code() == "subject_erased" => continue,
            sealed => SealedDetails::new(subject, names, &sealed?),
        };
        let commitment = sealed.commitment(record.tenant, record.id, key);
        record.commitments.insert(key.to_owned(), commitment.into());
        record.personal.insert(key.to_owned(), sealed.to_json());
    }
    record.content_hash = record.hash();
    Ok(())
}

/// Puts the details in place of what seals them; those of an erased subject are gone.
pub(crate) async fn open(
    cipher: &dyn SubjectCipher,
    ctx: &TenantCtx,
    record: &mut Record,
) -> Result<(), Error> {
    let keys: Vec<String> = record
        .personal
        .keys()
        .filter(|key| key.starts_with(SEALED))
        .cloned()
        .collect();
    for key in keys {
        let details = record
            .personal
            .get(&key)
            .and_then(SealedDetails::from_json)
            .ok_or_else(unreadable)?;
        let subject = Subject::parse(details.subject)?;
        let text = match cipher
            .open(ctx, &subject, &SealedText::from_stored(details.text))
            .await
        {
            Err(error) if error.code() == "subject_erased" => None,
            text => Some(text?),
        };
        record.personal.remove(&key);
        if let Some(text) = text {
            let pairs: Map<String, Value> =
                serde_json::from_str(text.expose()).map_err(|_| unreadable())?;
            record.personal.extend(pairs);
        }
    }
    Ok(())
}

/// The subject that the entry's actor is: `user:…`, as [`Subject::from`] a user's id has it, or
/// `api_key:…`, `service:…`.
fn actor(record: &Record) -> Result<Subject, Error> {
    Ok(Subject::parse(format!(
        "{}:{}",
        record.actor.kind, record.actor.id
    ))?)
}

fn unreadable() -> Error {
    let message = "personal details of an entry can't be read";
    Error::new(ErrorKind::Internal, "audit_row_unreadable", message)
}

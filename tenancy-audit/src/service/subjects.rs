//! Sealing personal details under the keys of the persons they are about.

use serde_json::{Map, Value};
use tenancy_core::{SealedText, SecretText, Subject, SubjectCipher, TenantCtx};

use crate::{
    Error, ErrorKind, Record,
    error::code,
    model::{ERASED, ORIGIN_DETAILS, SealedDetails, is_sealed},
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
    let mut left_out = Vec::new();
    for (key, subject, pairs) in [("*origin", &actor, origin), ("*", &about, details)] {
        if pairs.is_empty() {
            continue;
        }
        let names: Vec<String> = pairs.keys().cloned().collect();
        let text = SecretText::new(Value::Object(pairs).to_string());
        let sealed = match cipher.seal(ctx, subject, text).await {
            Err(error) if error.code() == code::SUBJECT_ERASED => {
                left_out.extend(names);
                continue;
            }
            sealed => SealedDetails::new(subject, names, &sealed?),
        };
        let commitment = sealed.commitment(record.tenant, record.id, key);
        record.commitments.insert(key.to_owned(), commitment.into());
        record.personal.insert(key.to_owned(), sealed.to_json());
    }
    if !left_out.is_empty() {
        // It is hashed: that these details are missing was so from the beginning.
        record
            .commitments
            .insert(ERASED.to_owned(), left_out.into());
    }
    record.content_hash = record.hash();
    Ok(())
}

/// What became of sealed details, by subject, with their names.
#[derive(Default)]
pub(crate) struct Opened {
    /// What is in clear now.
    pub(crate) clear: Vec<(Subject, Vec<String>)>,
    /// What is gone with its subject.
    pub(crate) erased: Vec<(Subject, Vec<String>)>,
}

/// Puts the details in place of what seals them; those of an erased subject are gone.
pub(crate) async fn open(
    cipher: &dyn SubjectCipher,
    ctx: &TenantCtx,
    record: &mut Record,
) -> Result<Opened, Error> {
    let keys = record.personal.keys().filter(|key| is_sealed(key));
    let keys: Vec<String> = keys.cloned().collect();
    let mut opened = Opened::default();
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
            Err(error) if error.code() == code::SUBJECT_ERASED => {
                opened.erased.push((subject, details.names));
                None
            }
            text => Some((subject, text?)),
        };
        record.personal.remove(&key);
        if let Some((subject, text)) = text {
            let pairs: Map<String, Value> =
                serde_json::from_str(text.expose()).map_err(|_| unreadable())?;
            // By what is in it: the list of names beside it is for who can't look.
            let names = pairs.keys().cloned().collect();
            opened.clear.push((subject, names));
            record.personal.extend(pairs);
        }
    }
    Ok(opened)
}

/// Whether the address of an entry is sealed.
pub(crate) fn seals_address(record: &Record) -> bool {
    let [ip, _] = ORIGIN_DETAILS;
    let sealed = record.personal.iter().filter(|(key, _)| is_sealed(key));
    sealed
        .filter_map(|(_, value)| SealedDetails::from_json(value))
        .any(|details| details.names.iter().any(|name| name == ip))
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

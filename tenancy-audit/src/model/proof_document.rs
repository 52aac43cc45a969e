//! A single proof as a file.

use serde::Deserialize;

use super::{
    entry::Entry,
    proof_line::{EntryLine, ProofLine},
    seal::{ConsistencyProof, InclusionProof, SealedAs},
    strict::object,
};
use crate::{Error, ErrorKind};

/// What a file with one proof holds, on one line.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ProofDocument<'a> {
    #[serde(borrow, deserialize_with = "object")]
    Inclusion(Box<InclusionDocument<'a>>),
    #[serde(deserialize_with = "object")]
    Consistency(Box<ConsistencyProof>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InclusionDocument<'a> {
    #[serde(borrow, deserialize_with = "object")]
    pub(crate) entry: EntryLine<'a>,
    #[serde(deserialize_with = "object")]
    pub(crate) proof: InclusionProof,
}

/// An entry as exports write it, with the proof that it is sealed.
pub(crate) fn inclusion_line(
    entry: &Entry,
    stored: SealedAs,
    proof: &InclusionProof,
) -> Result<String, Error> {
    let mut line = String::new();
    ProofLine::write_entry(entry, stored, &mut line)?;
    // Of `{"entry":{…}}` and the line feed what is inside.
    let inside = line
        .trim_end()
        .strip_prefix('{')
        .and_then(|line| line.strip_suffix('}'));
    let proof = serde_json::to_string(proof).map_err(|_| unwritable())?;
    let inside = inside.ok_or_else(unwritable)?;
    Ok(format!(
        "{{\"inclusion\":{{{inside},\"proof\":{proof}}}}}\n"
    ))
}

/// The proof that what was sealed earlier is still the beginning of the log.
pub(crate) fn consistency_line(proof: &ConsistencyProof) -> Result<String, Error> {
    let proof = serde_json::to_string(proof).map_err(|_| unwritable())?;
    Ok(format!("{{\"consistency\":{proof}}}\n"))
}

fn unwritable() -> Error {
    let message = "a proof can't be written as JSON";
    Error::new(ErrorKind::Internal, "audit_row_unreadable", message)
}

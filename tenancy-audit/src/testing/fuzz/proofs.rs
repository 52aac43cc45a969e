//! Files that say what a log held, what an anchor kept of it, and keys.

use std::io::BufReader;

use super::{MAX_MESSAGE, made};
use crate::{Ed25519Signer, Error, ErrorKind, ProofReport, SealKey, SealKeys, Verifier};

/// How many findings, and how many adoptions, a report names.
const MOST_NAMED: usize = 1_000;

/// A file from anybody, as a proof.
pub fn proof(file: &[u8]) {
    let Some(verifier) = verifier() else { return };
    let whole = verified(&verifier, file);
    // However its bytes arrive.
    let pieces = verifier.verify(BufReader::with_capacity(7, file));
    assert_eq!(
        whole,
        pieces.map_err(|error| error.code()),
        "read in pieces it says something else"
    );
}

/// The log that is made here, damaged as these bytes say: it is found, or the file still says the same.
pub fn damaged_proof(damage: &[u8]) {
    let (Some(made), Some(verifier)) = (made(), verifier()) else {
        return;
    };
    let sound = verified(&verifier, made.file.as_bytes());
    let Ok(sound) = sound else {
        assert!(sound.is_ok(), "what was made here is no proof: {sound:?}");
        return;
    };
    assert!(sound.is_intact(), "{:?}", sound.findings);
    let mut file = made.file.clone().into_bytes();
    for step in damage.chunks_exact(4) {
        if let [first, second, what, byte] = *step {
            let at = usize::from(u16::from_be_bytes([first, second])) % file.len().max(1);
            damage_at(&mut file, at, what, byte);
        }
    }
    if let Ok(found) = verified(&verifier, &file) {
        let told =
            |report: &ProofReport| (report.seals, report.entries, report.erased, report.removed);
        assert!(
            !found.is_intact() || told(&found) == told(&sound),
            "{found:?}, which is not what was sealed"
        );
    }
}

/// What an anchor kept, from anybody: it adds findings, and changes nothing else.
pub fn anchor(heads: &[u8]) {
    let (Some(made), Some(verifier)) = (made(), verifier()) else {
        return;
    };
    let with = verifier.clone().with_anchor(heads);
    assert!(with.is_ok(), "{with:?}");
    if let (Ok(with), Ok(sound)) = (with, verified(&verifier, made.file.as_bytes()))
        && let Ok(found) = verified(&with, made.file.as_bytes())
    {
        let told = |report: &ProofReport| (report.seals, report.entries, report.removed);
        assert_eq!(told(&found), told(&sound), "of the file itself");
        let bare = Verifier::new(made.tenant, made.keys.clone());
        for single in [&made.inclusion, &made.consistency] {
            let sound = verified(&bare, single.as_bytes());
            assert!(sound.is_ok_and(|sound| sound.is_intact()));
            assert!(verified(&with, single.as_bytes()).is_ok());
        }
    }
}

/// Keys as people write them.
pub fn keys(text: &str) {
    if let Ok(key) = SealKey::parse(text) {
        assert_eq!(
            SealKey::parse(&key.to_text()).ok(),
            Some(key),
            "a key is read as it is written"
        );
    }
    match SealKeys::parse(text) {
        Ok(keys) => assert!(keys.names().all(|name| (1..=64).contains(&name.len()))),
        Err(error) => silent(&error, text),
    }
    if let Err(error) = Ed25519Signer::parse(text) {
        silent(&error, text);
    }
}

/// Says nothing of what was given, which may be a secret.
fn silent(error: &Error, given: &str) {
    assert_eq!(error.code(), "audit_seal_key_invalid");
    let (_, secret) = given.split_once(':').unwrap_or_default();
    let secret = secret.trim();
    assert!(
        secret.len() < 40 || !error.to_string().contains(secret),
        "a key is repeated"
    );
}

/// With what the anchor of the made log kept.
fn verifier() -> Option<Verifier> {
    let made = made()?;
    let verifier = Verifier::new(made.tenant, made.keys.clone());
    verifier.with_anchor(made.heads.as_bytes()).ok()
}

/// What it says, which is bounded, and the same each time.
fn verified(verifier: &Verifier, file: &[u8]) -> Result<ProofReport, &'static str> {
    let found = verifier.verify(file);
    if let Err(error) = &found {
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert_eq!(error.code(), "audit_proof_format", "{error}");
    }
    let found = found.map_err(|error| error.code());
    if let Ok(report) = &found {
        let named = report.findings.len();
        assert!(named <= MOST_NAMED && report.adoptions.len() <= MOST_NAMED);
        assert!(named as u64 <= report.found);
        assert!(report.erased <= report.entries);
        let lines = file.split(|byte| *byte == b'\n').count() as u64;
        assert!(report.entries <= lines, "more entries than lines");
        for finding in &report.findings {
            let shown = finding.to_string();
            assert!(shown.len() <= MAX_MESSAGE, "a finding is bounded");
            assert!(!shown.chars().any(char::is_control), "and on one line");
        }
    }
    found
}

fn damage_at(file: &mut Vec<u8>, at: usize, what: u8, byte: u8) {
    let lines = |file: &[u8]| -> Vec<Vec<u8>> {
        let lines = file.split_inclusive(|byte| *byte == b'\n');
        lines.map(<[u8]>::to_vec).collect()
    };
    match what % 6 {
        0 => file.insert(at, byte),
        1 if at < file.len() => drop(file.drain(at..=at)),
        2 => file.truncate(at),
        3 => {
            if let Some(there) = file.get_mut(at) {
                *there = byte;
            }
        }
        4 => {
            let mut all = lines(file);
            if !all.is_empty() {
                let gone = at % all.len();
                all.remove(gone);
            }
            *file = all.concat();
        }
        _ => {
            let mut all = lines(file);
            if !all.is_empty() {
                let (one, other) = (at % all.len(), usize::from(byte) % all.len());
                all.swap(one, other);
            }
            *file = all.concat();
        }
    }
}

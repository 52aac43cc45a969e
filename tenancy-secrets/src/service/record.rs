//! Sealing and opening one record.

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::{
    Aead, DataKey, Envelope, Error, ErrorKind, KeyId, MAX_SECRET_LEN,
    model::{Place, Suite, derive, random},
};

/// Seals a value for one place, under a key of its own.
pub(crate) fn seal(
    aead: &dyn Aead,
    (id, key): (KeyId, &DataKey),
    place: &dyn Place,
    plaintext: &[u8],
) -> Result<Envelope, Error> {
    seal_with_salt(aead, (id, key), place, plaintext, random()?)
}

pub(crate) fn seal_with_salt(
    aead: &dyn Aead,
    (id, key): (KeyId, &DataKey),
    place: &dyn Place,
    plaintext: &[u8],
    salt: [u8; 32],
) -> Result<Envelope, Error> {
    if plaintext.len() > MAX_SECRET_LEN {
        let message = format!("a secret is at most {MAX_SECRET_LEN} bytes");
        return Err(Error::new(ErrorKind::Limit, "secret_too_long", message));
    }
    let suite = Suite::HkdfSha256Aes256Gcm;
    let authenticated = place.to_bytes(suite, id);
    let derived = derive(key.expose(), &salt, &authenticated)?;
    // Room for the tag: a buffer that grows leaves its plaintext behind.
    let mut sealed = Zeroizing::new(Vec::with_capacity(plaintext.len() + 16));
    sealed.extend_from_slice(plaintext);
    aead.seal(&derived.key, &authenticated, &mut sealed)?;
    Ok(Envelope {
        suite,
        key: id,
        salt,
        commitment: derived.commitment,
        sealed: std::mem::take(&mut *sealed),
    })
}

/// Opens a record, if it was sealed with this key for this place and is whole.
pub(crate) fn open(
    aead: &dyn Aead,
    key: &DataKey,
    place: &dyn Place,
    envelope: &Envelope,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let authenticated = place.to_bytes(envelope.suite, envelope.key);
    let derived = derive(key.expose(), &envelope.salt, &authenticated)?;
    if !bool::from(derived.commitment.ct_eq(&envelope.commitment)) {
        return Err(does_not_open());
    }
    let mut buffer = Zeroizing::new(envelope.sealed.clone());
    aead.open(&derived.key, &authenticated, &mut buffer)
        .map_err(|_| does_not_open())?;
    Ok(buffer)
}

fn does_not_open() -> Error {
    Error::unreadable(
        "secret_unreadable",
        "the secret is damaged, or was sealed for another place",
    )
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;

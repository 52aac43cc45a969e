//! The framing of the Postgres protocol, version 3.

/// What a client sends before anything else is framed without a type.
const SSL_REQUEST: u32 = 80_877_103;

/// Cuts a stream into messages: a type, a length that counts itself, the rest.
#[derive(Debug, Default)]
pub(super) struct Frames {
    bytes: Vec<u8>,
}

/// A message's type and its contents.
pub(super) type Frame = (u8, Vec<u8>);

impl Frames {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message.
    pub(super) fn next(&mut self) -> Option<Frame> {
        let kind = *self.bytes.first()?;
        let length = length(self.bytes.get(1..5)?)?;
        let contents = self.bytes.get(5..1 + length)?.to_vec();
        self.bytes.drain(..=length);
        Some((kind, contents))
    }

    /// The first message of a client, which has no type: whether it asks for TLS.
    pub(super) fn startup(&mut self) -> Option<bool> {
        let length = length(self.bytes.get(..4)?)?;
        let code = u32::from_be_bytes(self.bytes.get(4..8)?.try_into().ok()?);
        self.bytes.get(..length)?;
        self.bytes.drain(..length);
        Some(code == SSL_REQUEST)
    }
}

fn length(bytes: &[u8]) -> Option<usize> {
    let length = u32::from_be_bytes(bytes.try_into().ok()?);
    usize::try_from(length).ok().filter(|length| *length >= 4)
}

/// What a message of a client asks to be answered with `ReadyForQuery`, for the log.
pub(super) fn request((kind, contents): &Frame) -> Option<String> {
    match kind {
        b'Q' => {
            let text = contents.strip_suffix(&[0]).unwrap_or(contents);
            Some(String::from_utf8_lossy(text).into_owned())
        }
        b'S' => Some("Sync".to_owned()),
        b'F' => Some("FunctionCall".to_owned()),
        _ => None,
    }
}

/// Whether a message of the server says that it waits for the next request.
pub(super) fn is_ready((kind, _): &Frame) -> bool {
    *kind == b'Z'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_however_the_bytes_arrive() {
        let stream = [
            b"Q\0\0\0\x0dSELECT 1\0".as_slice(),
            b"B\0\0\0\x04",
            b"S\0\0\0\x04",
        ]
        .concat();
        for size in 1..stream.len() {
            let mut frames = Frames::default();
            let mut requests = Vec::new();
            for chunk in stream.chunks(size) {
                frames.push(chunk);
                while let Some(frame) = frames.next() {
                    requests.extend(request(&frame));
                }
            }
            assert_eq!(requests, ["SELECT 1", "Sync"]);
        }
    }
}

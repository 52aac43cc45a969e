//! Lines of any file, in bounded memory: one that is too long is passed over.

use std::io::BufRead;

use crate::{Error, ErrorKind, model::LONGEST};

pub(in crate::service) struct Lines<R> {
    file: R,
    line: Vec<u8>,
    number: u64,
}

/// A line with its number, from 1.
pub(in crate::service) struct Line<'a> {
    number: u64,
    bytes: Option<&'a [u8]>,
}

impl<'a> Line<'a> {
    /// A line that is there already.
    pub(super) fn of(number: u64, bytes: &'a [u8]) -> Self {
        let bytes = Some(bytes);
        Self { number, bytes }
    }

    pub(in crate::service) fn number(&self) -> u64 {
        self.number
    }

    /// Without the line feed; `None` of a line that is too long.
    pub(in crate::service) fn bytes(&self) -> Option<&[u8]> {
        self.bytes
    }
}

impl<R: BufRead> Lines<R> {
    pub(in crate::service) fn new(file: R) -> Self {
        Self {
            file,
            line: Vec::with_capacity(4_096),
            number: 0,
        }
    }

    /// How many lines were read.
    pub(in crate::service) fn read(&self) -> u64 {
        self.number
    }

    pub(in crate::service) fn next(&mut self) -> Result<Option<Line<'_>>, Error> {
        self.line.clear();
        let (mut whole, mut any) = (true, false);
        loop {
            let ready = self.file.fill_buf().map_err(|io| unreadable(&io))?;
            if ready.is_empty() {
                break;
            }
            any = true;
            let end = memchr::memchr(b'\n', ready);
            let part = ready.get(..end.unwrap_or(ready.len())).unwrap_or_default();
            if self.line.len() + part.len() > LONGEST {
                whole = false;
                self.line.clear();
            }
            if whole {
                self.line.extend_from_slice(part);
            }
            let used = part.len() + usize::from(end.is_some());
            self.file.consume(used);
            if end.is_some() {
                break;
            }
        }
        if !any {
            return Ok(None);
        }
        self.number += 1;
        let bytes = whole.then_some(self.line.as_slice());
        Ok(Some(Line {
            number: self.number,
            bytes,
        }))
    }
}

fn unreadable(io: &std::io::Error) -> Error {
    let message = format!("the file can't be read: {}", io.kind());
    Error::new(ErrorKind::Unavailable, "audit_proof_unreadable", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_end_costs_no_memory() {
        let file = std::io::BufReader::new(std::io::Read::chain(
            std::io::Read::take(std::io::repeat(b'x'), 3 * LONGEST as u64),
            &b"\nshort\n\nlast"[..],
        ));
        let mut lines = Lines::new(file);
        let mut seen = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            seen.push((line.number(), line.bytes().map(<[u8]>::to_vec)));
        }
        assert!(lines.line.capacity() <= 2 * LONGEST);
        let text = |text: &str| Some(text.as_bytes().to_vec());
        assert_eq!(
            seen,
            [
                (1, None),
                (2, text("short")),
                (3, text("")),
                (4, text("last"))
            ]
        );
    }
}

//! What the binary prints.

use std::{
    error::Error,
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, ErrorKind, Write},
    path::{Path, PathBuf},
};

use tenancy::core::PlatformEntry;

/// A text of which nothing moves the cursor of a terminal, hides, or changes the order of what is read.
pub(crate) fn printable(text: &str) -> String {
    let shown = |c| if is_misleading(c) { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

/// Lines of JSON in which such characters, which can only stand in its texts, are written as escapes.
pub(crate) fn escaped_json(lines: &str) -> String {
    let mut out = String::with_capacity(lines.len());
    for c in lines.chars() {
        if c != '\n' && is_misleading(c) {
            // All of them fit in one unit; writing to a string does not fail.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// Controls, marks of direction, ends of lines and characters without a width.
fn is_misleading(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
        )
}

/// A file that is there as a whole or not at all: it is written beside its name, and gets the name at the end.
#[derive(Debug)]
pub(crate) struct WholeFile {
    part: PathBuf,
    file: PathBuf,
    out: Option<BufWriter<File>>,
}

/// For a file that only its owner reads: what is written holds personal details.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

impl WholeFile {
    /// Begins a file that is not there yet.
    pub(crate) fn create(file: &Path) -> io::Result<Self> {
        if file.symlink_metadata().is_ok() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let mut name = file.file_name().ok_or(ErrorKind::InvalidInput)?.to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let part = file.with_file_name(name);
        Ok(Self {
            out: Some(BufWriter::new(
                private().write(true).create_new(true).open(&part)?,
            )),
            part,
            file: file.to_owned(),
        })
    }

    /// Gives it its name, unless somebody took that meanwhile.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        if let Some(out) = self.out.take() {
            out.into_inner()?.sync_all()?;
        }
        // A link fails where the name is taken, a renaming does not; not every file system has links.
        match fs::hard_link(&self.part, &self.file) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                fs::rename(&self.part, &self.file)?;
            }
            linked => linked?,
        }
        #[cfg(unix)]
        if let Some(folder) = self.file.parent() {
            let folder = if folder.as_os_str().is_empty() {
                Path::new(".")
            } else {
                folder
            };
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.as_mut().map_or(Ok(0), |out| out.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        self.out = None;
        // It has its name, or is half of something.
        let _ = fs::remove_file(&self.part);
    }
}

/// An error with what caused it, one line each.
pub(crate) fn error(error: &(dyn Error + 'static)) {
    eprintln!("error: {}", printable(&error.to_string()));
    let mut cause = error.source();
    while let Some(inner) = cause {
        eprintln!("  because: {}", printable(&inner.to_string()));
        cause = inner.source();
    }
}

/// One line of the platform's log.
pub(crate) fn platform_entry(entry: &PlatformEntry) -> String {
    let PlatformEntry {
        last_at,
        kind,
        code,
        count,
        ..
    } = entry;
    let mut line = format!(
        "{} {kind} {code} {count}x",
        last_at.format("%Y-%m-%dT%H:%M:%SZ")
    );
    let named = [
        entry.actor.clone(),
        entry.tenant.map(|tenant| format!("tenant {tenant}")),
        entry.address.map(|address| format!("from {address}")),
    ];
    for part in named.into_iter().flatten() {
        line.push(' ');
        line.push_str(&part);
    }
    printable(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MISLEADING: &str = "a\u{202e}b\u{1b}[2Jc\u{9b}d\u{2066}e\u{200b}f\u{2028}g\r";

    #[test]
    fn nothing_that_was_recorded_changes_how_a_line_is_read() {
        assert_eq!(printable(MISLEADING), "a�b�[2Jc�d�e�f�g�");
        assert_eq!(printable("ü 日本 עברית"), "ü 日本 עברית");
        let json = serde_json::json!({ "a": MISLEADING, "b": "עברית" });
        let line = format!("{json}\n");
        let shown = escaped_json(&line);
        assert!(!shown.trim_end().chars().any(is_misleading), "{shown}");
        let read: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(read, json);
    }

    #[test]
    fn a_file_is_whole_or_not_there() {
        let folder = std::env::temp_dir().join(format!("tenancy-whole-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (file, count) = (folder.join("a"), || fs::read_dir(&folder).unwrap().count());
        let mut half = WholeFile::create(&file).unwrap();
        half.write_all(b"half").unwrap();
        drop(half);
        assert_eq!(count(), 0);

        let mut whole = WholeFile::create(&file).unwrap();
        whole.write_all(b"whole").unwrap();
        assert!(!file.exists());
        whole.finish().unwrap();
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::PermissionsExt::mode(
                &fs::metadata(&file).unwrap().permissions(),
            );
            assert_eq!(mode & 0o777, 0o600);
        }
        assert_eq!((fs::read(&file).unwrap(), count()), (b"whole".to_vec(), 1));

        let there = WholeFile::create(&file).unwrap_err();
        assert_eq!(there.kind(), ErrorKind::AlreadyExists);
        fs::remove_file(&file).unwrap();
        let late = WholeFile::create(&file).unwrap();
        fs::write(&file, "another's").unwrap();
        assert_eq!(late.finish().unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(
            (fs::read(&file).unwrap(), count()),
            (b"another's".to_vec(), 1)
        );
        fs::remove_dir_all(&folder).unwrap();
    }
}

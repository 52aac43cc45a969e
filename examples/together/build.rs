//! Makes tests of the code in the front page and the guides, each guide that there is.
//!
//! What a block needs and its reader does not stands in front of it, in a comment, with `…` where the
//! block belongs:
//!
//! ```text
//! <!-- setup
//! use …;
//! async fn run() -> Result<(), Error> {
//! …
//! Ok(()) }
//! -->
//! ```
//!
//! The number of lines stays as it is, so that a failure names the guide's own line.

use std::{env, fmt::Write as _, fs, path::Path};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Run as they stand, block by block: by `.ci/newcomer-path`, and by the package `other-libraries`,
/// which has the libraries.
const ELSEWHERE: [&str; 2] = ["multi-tenant-foundations.md", "other-libraries.md"];

fn main() -> Result {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../..");
    let out = env::var("OUT_DIR")?;
    let mut modules = String::new();
    let mut guides = vec![root.join("README.md")];
    println!("cargo::rerun-if-changed={}", root.join("docs").display());
    for entry in fs::read_dir(root.join("docs"))? {
        guides.push(entry?.path());
    }
    guides.sort();
    for guide in guides {
        let name = guide.file_name().unwrap_or_default().to_string_lossy();
        if !name.ends_with(".md") || ELSEWHERE.contains(&name.as_ref()) {
            continue;
        }
        println!("cargo::rerun-if-changed={}", guide.display());
        let text = with_setup(&fs::read_to_string(&guide)?);
        let text = text.map_err(|line| format!("{name}:{line}: a setup that is not one"))?;
        fs::write(Path::new(&out).join(name.as_ref()), text)?;
        // On one line, the first: the line of the guide is the line that a failure shows.
        let module = name
            .trim_end_matches(".md")
            .to_lowercase()
            .replace('-', "_");
        write!(
            modules,
            "#[doc = include_str!(\"{out}/{name}\")] mod {module} {{}} "
        )?;
    }
    fs::write(Path::new(&out).join("guides.rs"), modules)?;
    Ok(())
}

/// The text with each setup in its block, hidden; or the line of a setup that has no block.
fn with_setup(text: &str) -> std::result::Result<String, usize> {
    let lines: Vec<&str> = text.lines().collect();
    let mut done = String::new();
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        if *line != "<!-- setup" {
            done.push_str(line);
            done.push('\n');
            at += 1;
            continue;
        }
        let rest = lines.get(at..).unwrap_or_default();
        let length = |end: &str, from: usize| {
            rest.iter()
                .skip(from)
                .position(|line| *line == end)
                .map(|n| n + from)
        };
        let (place, end) = (
            length("…", 0).ok_or(at + 1)?,
            length("-->", 0).ok_or(at + 1)?,
        );
        let close = length("```", end).ok_or(at + 1)?;
        let fence = rest
            .get(end + 1)
            .filter(|fence| fence.starts_with("```rust"));
        let blank = rest.get(close + 1).is_none_or(|line| line.is_empty());
        if place > end || !blank {
            return Err(at + 1);
        }
        done.push_str(fence.ok_or(at + 1)?);
        done.push('\n');
        for line in rest.get(1..place).unwrap_or_default() {
            hide(&mut done, line);
        }
        done.push_str(&"#\n".repeat(end + 1 - place));
        for line in rest.get(end + 2..close).unwrap_or_default() {
            done.push_str(line);
            done.push('\n');
        }
        let after = rest.get(place + 1..end).unwrap_or_default().join(" ");
        hide(&mut done, &after);
        done.push_str("```\n");
        at += close + 2;
    }
    Ok(done)
}

/// Adds a line that is compiled and not shown.
fn hide(text: &mut String, line: &str) {
    text.push_str("# ");
    text.push_str(line);
    text.push('\n');
}
